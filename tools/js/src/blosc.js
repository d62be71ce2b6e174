/**
 * Decoder of the one blosc profile of this format ([ZAR-10]): blosc 1 frames, lz4, bit shuffle. The one that comes with
 * zarrita.js returns whatever its memory held where a stream is broken; this one refuses.
 */

const HEADER = 16;
const FORMAT = 2;
const SHUFFLED = 0x01;
const COPIED = 0x02;
const BIT_SHUFFLED = 0x04;
const WHOLE = 0x10;
const LZ4 = 1;
const MOST_SPLITS = 16;
const LEAST_SPLIT = 128;

/** @param {string} what */
const wrong = (what) => new Error(`blosc: ${what}`);

/**
 * Decode a frame.
 *
 * @param {Uint8Array} frame
 * @param {number} typesize bytes of an element
 * @returns {Uint8Array}
 */
export function decode(frame, typesize) {
  if (frame.length < HEADER) throw wrong(`${frame.length} bytes are too few for a header`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const flags = frame[2];
  const [nbytes, blocksize, cbytes] = [4, 8, 12].map((at) => view.getUint32(at, true));
  if (frame[0] !== FORMAT) throw wrong(`format ${frame[0]}, expected ${FORMAT}`);
  if (frame[3] !== typesize) throw wrong(`elements of ${frame[3]} bytes, expected ${typesize}`);
  if (cbytes !== frame.length) throw wrong(`${frame.length} bytes, the header says ${cbytes}`);
  if (flags >> 5 !== LZ4) throw wrong(`compressor ${flags >> 5}, expected lz4 (${LZ4})`);
  if (flags & SHUFFLED || !(flags & BIT_SHUFFLED)) throw wrong("is not bit-shuffled");
  if (flags & COPIED) {
    if (frame.length !== HEADER + nbytes) throw wrong(`${frame.length} bytes for a copy of ${nbytes}`);
    return frame.slice(HEADER);
  }
  if (blocksize === 0) throw wrong("a block size of 0");
  const out = new Uint8Array(nbytes);
  const blocks = Math.ceil(nbytes / blocksize);
  if (HEADER + 4 * blocks > frame.length) throw wrong("ends before its blocks");
  for (let i = 0; i < blocks; i++) {
    const start = i * blocksize;
    const size = Math.min(blocksize, nbytes - start);
    const split =
      !(flags & WHOLE) && size === blocksize && typesize <= MOST_SPLITS && blocksize / typesize >= LEAST_SPLIT;
    const block = readBlock(frame, view.getUint32(HEADER + 4 * i, true), size, split ? typesize : 1);
    unshuffle(block, out.subarray(start, start + size), typesize);
  }
  return out;
}

/**
 * @param {Uint8Array} frame
 * @param {number} at
 * @param {number} size
 * @param {number} splits streams that it is made of
 */
function readBlock(frame, at, size, splits) {
  const block = new Uint8Array(size);
  const part = size / splits;
  for (let j = 0; j < splits; j++) {
    if (at + 4 > frame.length) throw wrong("a block that begins beyond its end");
    const length = frame[at] | (frame[at + 1] << 8) | (frame[at + 2] << 16) | (frame[at + 3] << 24);
    at += 4;
    if (length < 0 || at + length > frame.length) throw wrong("a block that ends beyond its end");
    const target = block.subarray(j * part, (j + 1) * part);
    const source = frame.subarray(at, at + length);
    if (length === part) target.set(source);
    else unpack(source, target);
    at += length;
  }
  return block;
}

/**
 * An lz4 block.
 *
 * @param {Uint8Array} source
 * @param {Uint8Array} target that it fills
 */
function unpack(source, target) {
  const [end, size] = [source.length, target.length];
  let [from, to] = [0, 0];
  while (from < end) {
    const token = source[from++];
    let literals = token >> 4;
    if (literals === 15) {
      let more;
      do {
        if (from >= end) throw wrong("lz4: a length that does not end");
        more = source[from++];
        literals += more;
      } while (more === 255);
    }
    if (from + literals > end || to + literals > size) throw wrong("lz4: literals beyond the end");
    for (const stop = to + literals; to < stop;) target[to++] = source[from++];
    if (from === end) break;
    if (from + 2 > end) throw wrong("lz4: a match without a place");
    const offset = source[from] | (source[from + 1] << 8);
    from += 2;
    let length = (token & 15) + 4;
    if (length === 19) {
      let more;
      do {
        if (from >= end) throw wrong("lz4: a length that does not end");
        more = source[from++];
        length += more;
      } while (more === 255);
    }
    if (offset === 0 || offset > to || to + length > size) throw wrong("lz4: a match outside of what was decoded");
    for (const stop = to + length; to < stop; to++) target[to] = target[to - offset]; // may overlap itself
  }
  if (to !== size) throw wrong(`lz4: ${to} bytes, expected ${size}`);
}

/**
 * Undo the shuffling of bits: bit k of byte b of all elements lies side by side. A block whose elements are no multiple of
 * eight is not shuffled.
 *
 * @param {Uint8Array} block
 * @param {Uint8Array} out
 * @param {number} typesize
 */
function unshuffle(block, out, typesize) {
  const n = Math.floor(block.length / typesize);
  if (n % 8 !== 0) {
    out.set(block);
    return;
  }
  const groups = n / 8;
  for (let b = 0; b < typesize; b++) {
    const row = 8 * b * groups;
    for (let i = 0; i < groups; i++) {
      // a matrix of 8 x 8 bits in two words, transposed
      let at = row + i;
      let low =
        block[at] | (block[(at += groups)] << 8) | (block[(at += groups)] << 16) | (block[(at += groups)] << 24);
      let high =
        block[(at += groups)] |
        (block[(at += groups)] << 8) |
        (block[(at += groups)] << 16) |
        (block[(at += groups)] << 24);
      let t = (low ^ (low >>> 7)) & 0x00aa00aa;
      low ^= t ^ (t << 7);
      t = (high ^ (high >>> 7)) & 0x00aa00aa;
      high ^= t ^ (t << 7);
      t = (low ^ (low >>> 14)) & 0x0000cccc;
      low ^= t ^ (t << 14);
      t = (high ^ (high >>> 14)) & 0x0000cccc;
      high ^= t ^ (t << 14);
      t = (low & 0x0f0f0f0f) | ((high << 4) & 0xf0f0f0f0);
      high = ((low >>> 4) & 0x0f0f0f0f) | (high & 0xf0f0f0f0);
      low = t;
      let to = 8 * i * typesize + b;
      out[to] = low;
      out[(to += typesize)] = low >>> 8;
      out[(to += typesize)] = low >>> 16;
      out[(to += typesize)] = low >>> 24;
      out[(to += typesize)] = high;
      out[(to += typesize)] = high >>> 8;
      out[(to += typesize)] = high >>> 16;
      out[(to += typesize)] = high >>> 24;
    }
  }
  out.set(block.subarray(n * typesize), n * typesize);
}

/** For zarrita's registry. */
export class Blosc {
  kind = /** @type {const} */ ("bytes_to_bytes");
  #typesize;

  /** @param {number} typesize */
  constructor(typesize) {
    this.#typesize = typesize;
  }

  /** @param {{typesize: number}} configuration */
  static fromConfig({ typesize }) {
    return new Blosc(typesize);
  }

  /**
   * @param {Uint8Array} _bytes
   * @returns {Uint8Array}
   */
  encode(_bytes) {
    throw new Error("blosc: this package only reads");
  }

  /** @param {Uint8Array} frame */
  decode(frame) {
    return decode(frame, this.#typesize);
  }
}
