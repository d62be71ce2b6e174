/**
 * SHA-256, piece by piece. Web Crypto has no streaming digest, is asynchronous, and is missing where a page does not come
 * over TLS; a store on a server in the next room is to open all the same.
 */

/** Signed: V8 keeps unsigned words beyond 2^31 as doubles, which makes this five times slower. */
const K = Int32Array.from({ length: 64 }, (_, i) => fraction(Math.cbrt, prime(i)));
const START = Int32Array.from({ length: 8 }, (_, i) => fraction(Math.sqrt, prime(i)));

/**
 * @param {number} index
 * @returns {number} the prime of that index, from 0
 */
function prime(index) {
  for (let n = 2, found = -1; ; n++) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor !== 0) divisor++;
    if (divisor * divisor > n && ++found === index) return n;
  }
}

/**
 * First 32 bits of the fraction of a root: exact, since roots of small primes leave 52 - 4 bits of it.
 *
 * @param {(n: number) => number} root
 * @param {number} n
 */
function fraction(root, n) {
  const value = root(n);
  return Math.floor((value - Math.floor(value)) * 2 ** 32) | 0;
}

/** @param {string} text */
const utf8 = (text) => new TextEncoder().encode(text);

export class Sha256 {
  #state = START.slice();
  #block = new Uint8Array(64);
  #words = new Int32Array(64);
  #filled = 0;
  #length = 0;

  /**
   * @param {Uint8Array | string} data text is taken as UTF-8
   * @returns {this}
   */
  update(data) {
    const bytes = typeof data === "string" ? utf8(data) : data;
    this.#length += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(64 - this.#filled, bytes.length);
      this.#block.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < 64) return this;
      this.#compress(this.#block, 0);
      this.#filled = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) this.#compress(bytes, at);
    this.#block.set(bytes.subarray(at), 0);
    this.#filled = bytes.length - at;
    return this;
  }

  /** @returns {Uint8Array} 32 bytes */
  digest() {
    const length = this.#length;
    const padding = new Uint8Array(((119 - (length % 64)) % 64) + 9);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(length / 2 ** 29));
    view.setUint32(padding.length - 4, (length * 8) >>> 0);
    this.update(padding);
    const out = new DataView(new ArrayBuffer(32));
    this.#state.forEach((word, i) => out.setInt32(4 * i, word));
    return new Uint8Array(out.buffer);
  }

  /** @returns {string} 64 lower-case hexadecimal digits */
  hex() {
    return hexOf(this.digest());
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  #compress(bytes, at) {
    const w = this.#words;
    for (let i = 0, p = at; i < 16; i++, p += 4) {
      w[i] = (bytes[p] << 24) | (bytes[p + 1] << 16) | (bytes[p + 2] << 8) | bytes[p + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    const s = this.#state;
    let a = s[0];
    let b = s[1];
    let c = s[2];
    let d = s[3];
    let e = s[4];
    let f = s[5];
    let g = s[6];
    let h = s[7];
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
    s[5] += f;
    s[6] += g;
    s[7] += h;
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} two lower-case hexadecimal digits a byte
 */
export function hexOf(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array | string} data
 * @returns {string} 64 lower-case hexadecimal digits
 */
export function sha256(data) {
  return new Sha256().update(data).hex();
}
