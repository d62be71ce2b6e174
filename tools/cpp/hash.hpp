// SHA-256, CRC-32C and Philox-4x32-10.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <string>

class Sha256 {
  public:
    Sha256& add(const void* data, size_t n) {
        auto p = static_cast<const uint8_t*>(data);
        for (total_ += n; n;) {
            size_t k = std::min(n, 64 - used_);
            std::memcpy(block_ + used_, p, k);
            used_ += k, p += k, n -= k;
            if (used_ == 64) compress();
        }
        return *this;
    }
    Sha256& add(const std::string& s) { return add(s.data(), s.size()); }
    std::array<uint8_t, 32> bytes() {
        uint64_t bits = total_ * 8;
        uint8_t one = 0x80, zero = 0, size[8];
        add(&one, 1);
        while (used_ != 56) add(&zero, 1);
        for (int i = 0; i < 8; i++) size[i] = (uint8_t)(bits >> (56 - 8 * i));
        add(size, 8);
        std::array<uint8_t, 32> out;
        for (int i = 0; i < 32; i++) out[i] = (uint8_t)(h_[i / 4] >> (24 - 8 * (i % 4)));
        return out;
    }
    std::string hex() {
        std::string out;
        for (uint8_t b : bytes()) (out += "0123456789abcdef"[b >> 4]) += "0123456789abcdef"[b & 15];
        return out;
    }

  private:
    uint32_t h_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t block_[64];
    size_t used_ = 0;
    uint64_t total_ = 0;
    static uint32_t rotated(uint32_t x, int n) { return x >> n | x << (32 - n); }
    void compress() {
        static const uint32_t k[64] = {
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)block_[4 * i] << 24 | block_[4 * i + 1] << 16 | block_[4 * i + 2] << 8 | block_[4 * i + 3];
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
                   (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
        std::memcpy(s, h_, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t a = s[7] + (rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25)) +
                         ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
            uint32_t b = (rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22)) +
                         ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            for (int j = 7; j > 0; j--) s[j] = s[j - 1];
            s[4] += a;
            s[0] = a + b;
        }
        for (int i = 0; i < 8; i++) h_[i] += s[i];
        used_ = 0;
    }
};

inline std::string sha256_hex(const std::string& s) { return Sha256().add(s).hex(); }

inline uint32_t crc32c(const uint8_t* p, size_t n) {
    static const auto table = [] {
        std::array<uint32_t, 256> t{};
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
            t[i] = c;
        }
        return t;
    }();
    uint32_t c = ~0u;
    while (n--) c = table[(c ^ *p++) & 255] ^ c >> 8;
    return ~c;
}

// P(d, i, j) of the conventions.
inline std::array<uint32_t, 4> philox(uint64_t seed, uint32_t d, uint64_t i, uint32_t j) {
    std::array<uint32_t, 4> c = {(uint32_t)i, (uint32_t)(i >> 32), j, d};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        c = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
    }
    return c;
}
inline uint64_t u64(const std::array<uint32_t, 4>& w) { return w[0] | (uint64_t)w[1] << 32; }
