// The codec crc32c of Zarr v3. The one that comes with zarrita.js drops the checksum unread.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC-32C of bytes, as an unsigned number. */
export function crc32c(bytes) {
  let value = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) value = TABLE[(value ^ bytes[i]) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

/** For zarrita's registry: checks what a chunk and a shard's index end with, and takes it off. */
export class Crc32c {
  kind = "bytes_to_bytes";

  static fromConfig() {
    return new Crc32c();
  }

  encode() {
    throw new Error("crc32c: this tool only reads");
  }

  decode(bytes) {
    const size = bytes.length - 4;
    if (size < 0) throw new Error(`crc32c: ${bytes.length} bytes are too few to end with a checksum`);
    const stated = new DataView(bytes.buffer, bytes.byteOffset + size, 4).getUint32(0, true);
    const found = crc32c(bytes.subarray(0, size));
    if (stated !== found) throw new Error(`crc32c: the checksum is ${stated}, that of the bytes is ${found}`);
    return bytes.subarray(0, size);
  }

  // zarrita asks for it where the codec is one of a shard's index.
  computeEncodedSize(size) {
    return size + 4;
  }
}
