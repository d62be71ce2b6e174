// JSON as the specification wants it: RFC 8259 in UTF-8, no member twice, integers exact as binary64 (CNV-1, CNV-2).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct Json {
    enum Kind { Null, Bool, Number, String, List, Object } kind = Null;
    bool truth = false;
    std::string text;  // of a string its value, of a number its digits
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> members;

    const Json* find(const std::string& name) const {
        for (auto& [n, v] : members)
            if (n == name) return &v;
        return nullptr;
    }
    const Json& at(const std::string& name) const {
        if (const Json* v = find(name)) return *v;
        throw std::runtime_error("no member " + name);
    }
    double number() const { return std::strtod(text.c_str(), nullptr); }
    bool whole() const { return kind == Number && std::isfinite(number()) && number() == std::floor(number()); }
    int64_t integer() const {
        return text.find_first_of(".eE") == std::string::npos ? std::strtoll(text.c_str(), nullptr, 10)
                                                              : (int64_t)number();
    }
    bool operator==(const Json& o) const {
        if (kind != o.kind) return false;
        if (kind == Number) return number() == o.number();
        if (kind == Object && members.size() != o.members.size()) return false;
        for (auto& [n, v] : members) {
            const Json* w = o.find(n);
            if (!w || !(v == *w)) return false;
        }
        return truth == o.truth && text == o.text && items == o.items;
    }
};

struct JsonError : std::runtime_error {
    using runtime_error::runtime_error;
};

// Strict UTF-8: no overlong form, no surrogate, nothing above U+10FFFF.
inline bool is_utf8(const std::string& s) {
    for (size_t i = 0; i < s.size();) {
        unsigned char c = s[i];
        int more = c < 0x80 ? 0 : c >= 0xC2 && c <= 0xDF ? 1 : (c & 0xF0) == 0xE0 ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : -1;
        if (more < 0 || i + more >= s.size()) return false;
        uint32_t point = more == 0 ? c : c & (0x3F >> more);
        for (int k = 1; k <= more; k++) {
            unsigned char d = s[i + k];
            if ((d & 0xC0) != 0x80) return false;
            point = point << 6 | (d & 0x3F);
        }
        if ((more == 2 && (point < 0x800 || (point >= 0xD800 && point <= 0xDFFF))) ||
            (more == 3 && (point < 0x10000 || point > 0x10FFFF)))
            return false;
        i += more + 1;
    }
    return true;
}

inline void append_utf8(std::string& out, uint32_t p) {
    if (p < 0x80)
        out += (char)p;
    else if (p < 0x800)
        (out += (char)(0xC0 | p >> 6)) += (char)(0x80 | (p & 0x3F));
    else if (p < 0x10000)
        ((out += (char)(0xE0 | p >> 12)) += (char)(0x80 | (p >> 6 & 0x3F))) += (char)(0x80 | (p & 0x3F));
    else
        (((out += (char)(0xF0 | p >> 18)) += (char)(0x80 | (p >> 12 & 0x3F))) += (char)(0x80 | (p >> 6 & 0x3F))) +=
            (char)(0x80 | (p & 0x3F));
}

class JsonParser {
  public:
    explicit JsonParser(const std::string& s) : s_(s) {}
    std::vector<std::string> inexact;  // numbers that break CNV-2

    Json parse() {
        if (!is_utf8(s_)) fail("is not UTF-8");
        Json v = value(0);
        space();
        if (i_ != s_.size()) fail("goes on after its value");
        return v;
    }

  private:
    const std::string& s_;
    size_t i_ = 0;

    [[noreturn]] void fail(const std::string& what) { throw JsonError("byte " + std::to_string(i_) + ": " + what); }
    void space() {
        while (i_ < s_.size() && (s_[i_] == ' ' || s_[i_] == '\t' || s_[i_] == '\n' || s_[i_] == '\r')) i_++;
    }
    bool take(char c) {
        space();
        return i_ < s_.size() && s_[i_] == c ? (i_++, true) : false;
    }
    void need(char c) {
        if (!take(c)) fail(std::string("expected ") + c);
    }
    Json value(int depth) {
        if (depth > 200) fail("nested too deeply");
        space();
        Json v;
        if (take('{')) {
            v.kind = Json::Object;
            if (take('}')) return v;
            do {
                space();
                std::string name = string();
                if (v.find(name)) fail("the member " + name + " is there twice");
                need(':');
                v.members.emplace_back(name, value(depth + 1));
            } while (take(','));
            need('}');
        } else if (take('[')) {
            v.kind = Json::List;
            if (take(']')) return v;
            do v.items.push_back(value(depth + 1));
            while (take(','));
            need(']');
        } else if (i_ < s_.size() && s_[i_] == '"') {
            v.kind = Json::String;
            v.text = string();
        } else if (word("true") || word("false")) {
            v.kind = Json::Bool;
            v.truth = s_[i_ - 2] == 'u';
        } else if (!word("null")) {
            v.kind = Json::Number;
            v.text = number();
        }
        return v;
    }
    bool word(const char* w) {
        std::string t = w;
        return s_.compare(i_, t.size(), t) == 0 ? (i_ += t.size(), true) : false;
    }
    size_t digits() {
        size_t b = i_;
        while (i_ < s_.size() && s_[i_] >= '0' && s_[i_] <= '9') i_++;
        if (b == i_) fail("expected a value");
        return i_ - b;
    }
    std::string number() {
        size_t b = i_;
        bool whole = true;
        if (s_[i_] == '-') i_++;
        size_t first = i_;
        if (digits() > 1 && s_[first] == '0') fail("a number begins with 0");
        if (i_ < s_.size() && s_[i_] == '.') {
            i_++;
            digits();
            whole = false;
        }
        if (i_ < s_.size() && (s_[i_] == 'e' || s_[i_] == 'E')) {
            i_++;
            if (i_ < s_.size() && (s_[i_] == '+' || s_[i_] == '-')) i_++;
            digits();
            whole = false;
        }
        std::string t = s_.substr(b, i_ - b);
        double d = std::strtod(t.c_str(), nullptr);
        if (!std::isfinite(d))
            inexact.push_back(t);
        else if (whole) {
            char exact[400];
            std::snprintf(exact, sizeof exact, "%.0f", d);
            if (t != exact) inexact.push_back(t);
        }
        return t;
    }
    uint32_t hex4() {
        uint32_t p = 0;
        for (int k = 0; k < 4; k++, i_++) {
            char c = i_ < s_.size() ? s_[i_] : 0;
            int d = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
            if (d < 0) fail("a wrong escape");
            p = p << 4 | (uint32_t)d;
        }
        return p;
    }
    std::string string() {
        if (i_ >= s_.size() || s_[i_] != '"') fail("expected a text");
        std::string out;
        for (i_++; i_ < s_.size() && s_[i_] != '"';) {
            unsigned char c = s_[i_++];
            if (c < 0x20) fail("a control character in a text");
            if (c != '\\') {
                out += (char)c;
                continue;
            }
            char e = i_ < s_.size() ? s_[i_++] : 0;
            const std::string from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
            if (e == 'u') {
                uint32_t p = hex4();
                if (p >= 0xD800 && p < 0xDC00 && s_.compare(i_, 2, "\\u") == 0) {
                    i_ += 2;
                    uint32_t low = hex4();
                    if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
                    p = 0x10000 + ((p - 0xD800) << 10) + (low - 0xDC00);
                } else if (p >= 0xD800 && p <= 0xDFFF)
                    fail("half a surrogate pair");
                append_utf8(out, p);
            } else if (e && from.find(e) != std::string::npos)
                out += to[from.find(e)];
            else
                fail("a wrong escape");
        }
        if (i_ >= s_.size()) fail("a text without an end");
        i_++;
        return out;
    }
};

inline std::string quoted(const std::string& s) {
    std::string out = "\"";
    for (unsigned char c : s) {
        if (c == '"' || c == '\\')
            (out += '\\') += (char)c;
        else if (c < 0x20) {
            char b[8];
            std::snprintf(b, sizeof b, "\\u%04x", c);
            out += b;
        } else
            out += (char)c;
    }
    return out + '"';
}

// Integers beyond 2^53 are decimal text.
inline std::string integer_json(__int128 v) {
    bool negative = v < 0;
    unsigned __int128 m = negative ? -(unsigned __int128)v : (unsigned __int128)v;
    std::string t;
    do t.insert(t.begin(), (char)('0' + (int)(m % 10)));
    while (m /= 10);
    if (negative) t.insert(t.begin(), '-');
    bool exact = v <= ((__int128)1 << 53) && v >= -((__int128)1 << 53);
    return exact ? t : '"' + t + '"';
}

template <class T, class F>
std::string list_json(const T& values, F each) {
    std::string out = "[";
    bool first = true;
    for (auto& v : values) {
        if (!first) out += ",";
        first = false;
        out += each(v);
    }
    return out + "]";
}
