/**
 * The codec crc32c of Zarr v3. The one that comes with zarrita.js drops the checksum unread, so a flipped bit would give
 * wrong numbers and no error ([ZAR-21]).
 */

/** Eight tables: eight bytes a step. */
const TABLES = (() => {
  const tables = [new Uint32Array(256)];
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    tables[0][byte] = value;
  }
  for (let t = 1; t < 8; t++) {
    tables.push(tables[t - 1].map((value) => tables[0][value & 255] ^ (value >>> 8)));
  }
  return tables;
})();

/**
 * CRC-32C of bytes, as an unsigned number.
 *
 * @param {Uint8Array} bytes
 */
export function crc32c(bytes) {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES;
  let value = 0xffffffff;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    value ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    value =
      t7[value & 255] ^
      t6[(value >>> 8) & 255] ^
      t5[(value >>> 16) & 255] ^
      t4[value >>> 24] ^
      t3[bytes[i + 4]] ^
      t2[bytes[i + 5]] ^
      t1[bytes[i + 6]] ^
      t0[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) value = t0[(value ^ bytes[i]) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/** For zarrita's registry: checks what a chunk and a shard's index end with, and takes it off. */
export class Crc32c {
  kind = /** @type {const} */ ("bytes_to_bytes");

  static fromConfig() {
    return new Crc32c();
  }

  /**
   * @param {Uint8Array} _bytes
   * @returns {Uint8Array}
   */
  encode(_bytes) {
    throw new Error("crc32c: this package only reads");
  }

  /**
   * @param {Uint8Array} bytes
   * @returns {Uint8Array}
   */
  decode(bytes) {
    const size = bytes.length - 4;
    if (size < 0) throw new Error(`crc32c: ${bytes.length} bytes are too few to end with a checksum`);
    const stated = new DataView(bytes.buffer, bytes.byteOffset + size, 4).getUint32(0, true);
    const found = crc32c(bytes.subarray(0, size));
    if (stated !== found) throw new Error(`crc32c: the checksum is ${stated}, that of the bytes is ${found}`);
    return bytes.subarray(0, size);
  }

  /**
   * zarrita asks for it where the codec is one of a shard's index.
   *
   * @param {number} size
   */
  computeEncodedSize(size) {
    return size + 4;
  }
}
