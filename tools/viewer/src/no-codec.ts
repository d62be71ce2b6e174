// Stands in the build for the codecs of zarrita.js that no cell store uses; the reader brings those that one does.

export default class {
  static fromConfig(): never {
    throw new Error("a codec that cell stores do not use");
  }
}
