/** Browsers only: a store in a folder that a person chose. */

import { StoreError, lineOf } from "../errors.js";
import { relative, within } from "./place.js";

/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Range} Range */

/** Reads that both kinds of folder share: a file of a browser is a Blob. */
class BlobPlace {
  name = "";

  /**
   * @param {string} _key
   * @returns {Promise<Blob | undefined>}
   */
  async blob(_key) {
    return undefined;
  }

  /** @param {string} key */
  async get(key) {
    const blob = await this.blob(key);
    return blob && this.#read(key, blob);
  }

  /**
   * @param {string} key
   * @param {Range} range
   */
  async getRange(key, range) {
    const blob = await this.blob(key);
    return blob && this.#read(key, blob.slice(...within(range, blob.size)));
  }

  /** @param {string} key */
  async size(key) {
    return (await this.blob(key))?.size;
  }

  /**
   * @param {string} key
   * @param {Blob} blob
   */
  async #read(key, blob) {
    try {
      return new Uint8Array(await blob.arrayBuffer());
    } catch (error) {
      throw new StoreError("unreadable", `${this.name}/${relative(key)}: ${lineOf(error)}`, { cause: error });
    }
  }
}

/**
 * A folder of the File System Access API.
 *
 * @implements {Place}
 */
export class FolderPlace extends BlobPlace {
  /** @type {Map<string, Promise<FileSystemDirectoryHandle | undefined>>} */
  #folders = new Map();

  /** @param {FileSystemDirectoryHandle} handle */
  constructor(handle) {
    super();
    this.name = handle.name;
    this.#folders.set("", Promise.resolve(handle));
  }

  /** @param {string} key */
  async blob(key) {
    const path = relative(key);
    const cut = path.lastIndexOf("/");
    const folder = await this.#folder(path.slice(0, Math.max(cut, 0)));
    return folder && present(async () => (await folder.getFileHandle(path.slice(cut + 1))).getFile());
  }

  /**
   * @param {string} path
   * @returns {Promise<FileSystemDirectoryHandle | undefined>}
   */
  #folder(path) {
    let found = this.#folders.get(path);
    if (found === undefined) {
      const cut = path.lastIndexOf("/");
      found = this.#folder(path.slice(0, Math.max(cut, 0))).then((above) =>
        present(async () => above?.getDirectoryHandle(path.slice(cut + 1))),
      );
      this.#folders.set(path, found);
    }
    return found;
  }
}

/**
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {Promise<T | undefined>} undefined where there is no such entry
 */
async function present(ask) {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof DOMException && ["NotFoundError", "TypeMismatchError"].includes(error.name)) return undefined;
    throw new StoreError("unreadable", lineOf(error), { cause: error });
  }
}

/**
 * The files of an `<input type="file" webkitdirectory>`.
 *
 * @implements {Place}
 */
export class FilesPlace extends BlobPlace {
  /** @type {Map<string, File>} */
  #files = new Map();

  /** @param {Iterable<File>} files */
  constructor(files) {
    super();
    for (const file of files) {
      const [folder, ...rest] = file.webkitRelativePath.split("/");
      this.name = folder;
      this.#files.set(rest.join("/"), file);
    }
  }

  /** @param {string} key */
  async blob(key) {
    return this.#files.get(relative(key));
  }
}
