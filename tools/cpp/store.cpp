#include "store.hpp"

#include <blosc.h>

#include <algorithm>
#include <fstream>
#include <sstream>

Tell refusing() {
    return [](const std::string& requirement, const std::string& where, const std::string& message) {
        throw Refusal(requirement + " " + where + ": " + message);
    };
}

bool read_file(const std::string& path, std::string& out) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    if (!in || !in.good()) return false;
    all << in.rdbuf();
    out = all.str();
    return !in.bad();
}

static std::vector<int64_t> integers(const Json& list) {
    std::vector<int64_t> out;
    for (auto& v : list.items) out.push_back(v.integer());
    return out;
}

Array::Array(const Json& a)
    : path(a.at("path").text),
      dtype(a.at("dtype").text),
      shape(integers(a.at("shape"))),
      chunk(integers(a.at("chunk"))),
      shard(integers(a.at("shard"))),
      fill(a.at("fill")) {}

int Array::item() const {
    return dtype.back() == '8' ? 1 : std::atoi(dtype.c_str() + dtype.find_first_of("0123456789")) / 8;
}

int64_t Array::elements() const {
    int64_t n = 1;
    for (int64_t s : shape) n *= s;
    return n;
}

// Calls `each` with every index of a grid, the last running fastest.
static void grid(const std::vector<int64_t>& lo, const std::vector<int64_t>& hi,
                 const std::function<void(const std::vector<int64_t>&)>& each) {
    for (size_t k = 0; k < lo.size(); k++)
        if (lo[k] >= hi[k]) return;
    std::vector<int64_t> at = lo;
    for (;;) {  // without axes: once
        each(at);
        size_t k = at.size();
        while (k && ++at[k - 1] == hi[k - 1]) k--, at[k] = lo[k];
        if (!k) return;
    }
}

static std::string file_name(const std::vector<int64_t>& at) {
    std::string name = "c";
    for (int64_t k : at) name += "/" + std::to_string(k);
    return name;
}

std::vector<std::string> Array::files() const {
    std::vector<int64_t> lo(shape.size()), hi;
    for (size_t k = 0; k < shape.size(); k++) hi.push_back((shape[k] + shard[k] - 1) / shard[k]);
    std::vector<std::string> out;
    grid(lo, hi, [&](auto& at) { out.push_back(file_name(at)); });
    return out;
}

template <class T>
static T at(const std::string& bytes, int64_t k) {
    T v;
    std::memcpy(&v, bytes.data() + k * (int64_t)sizeof v, sizeof v);
    return v;
}

int64_t Values::i(int64_t k) const {
    if (dtype == "uint8") return at<uint8_t>(bytes, k);
    if (dtype == "uint16") return at<uint16_t>(bytes, k);
    if (dtype == "uint32") return at<uint32_t>(bytes, k);
    if (dtype == "int8") return at<int8_t>(bytes, k);
    if (dtype == "int16") return at<int16_t>(bytes, k);
    if (dtype == "int32") return at<int32_t>(bytes, k);
    return at<int64_t>(bytes, k);
}

double Values::d(int64_t k) const {
    return dtype == "float32" ? (double)at<float>(bytes, k) : dtype == "float64" ? at<double>(bytes, k) : (double)i(k);
}

std::string fill_bytes(const Array& a) {
    std::string out(a.item(), 0);
    if (a.dtype == "float32") {
        float f = (float)a.fill.number();
        std::memcpy(&out[0], &f, 4);
    } else if (a.dtype == "float64") {
        double d = a.fill.number();
        std::memcpy(&out[0], &d, 8);
    } else {
        uint64_t v = a.dtype == "uint64" ? std::strtoull(a.fill.text.c_str(), nullptr, 10) : (uint64_t)a.fill.integer();
        std::memcpy(&out[0], &v, a.item());
    }
    return out;
}

std::shared_ptr<std::string> Store::file(const std::string& path) const {
    auto& held = files_[path];
    if (!held) {
        auto text = std::make_shared<std::string>();
        if (!read_file(root + "/" + path, *text)) {
            files_.erase(path);
            return nullptr;
        }
        if (files_.size() > 64) files_.clear();
        files_[path] = text;
        return text;
    }
    return held;
}

// One chunk: blosc's frame and its CRC-32C, decoded to `size` bytes. Says what is wrong, or nothing.
static std::string decode_chunk(const uint8_t* p, uint64_t n, int item, uint64_t size, std::string& out) {
    uint32_t stored, frame[4];
    if (n < 20) return "is too short";
    std::memcpy(&stored, p + n - 4, 4);
    if (crc32c(p, n - 4) != stored) return "its CRC-32C does not fit";
    std::memcpy(frame, p, 16);
    if (p[0] != 2 || p[1] != 1) return "is not blosc's format 2 with lz4's format 1";
    if (p[2] >> 5 != 1 || !(p[2] & 4) || (p[2] & 1)) return "is not lz4 with bitshuffle";
    if (p[3] != item) return "has another typesize";
    if (frame[1] != size) return "has another size than a chunk";
    if (frame[3] != n - 4) return "blosc's frame has another length";
    size_t checked = 0;
    if (blosc_cbuffer_validate(p, n - 4, &checked) < 0 || checked != size) return "is no blosc frame";
    out.resize(size);
    if (blosc_decompress_ctx(p, &out[0], size, 1) != (int)size) return "cannot be decompressed";
    return "";
}

Values Store::read(const Array& a, int64_t lo, int64_t hi, const Tell& tell, bool counts, bool absent_ok) const {
    size_t axes = a.shape.size();
    int item = a.item();
    Values out;
    out.dtype = a.dtype;
    out.shape = a.shape;
    out.shape.back() = hi - lo;
    out.n = 1;
    for (int64_t s : out.shape) out.n *= s;
    const std::string fill = fill_bytes(a);
    for (int64_t k = 0; k < out.n; k++) out.bytes += fill;
    if (!out.n) return out;
    auto wrong = [&](const char* requirement, const std::string& where, const std::string& message) {
        out.damaged = true;
        tell(requirement, where, message);
    };
    std::vector<int64_t> begin(axes, 0), end(axes), per(axes);
    uint64_t chunk_bytes = item, n_chunks = 1;
    for (size_t k = 0; k < axes; k++) {
        end[k] = (a.shape[k] + a.shard[k] - 1) / a.shard[k];
        per[k] = a.shard[k] / a.chunk[k];
        chunk_bytes *= a.chunk[k];
        n_chunks *= per[k];
    }
    begin.back() = lo / a.shard.back();
    end.back() = (hi + a.shard.back() - 1) / a.shard.back();
    bool whole = lo == 0 && hi == a.last();
    grid(begin, end, [&](const std::vector<int64_t>& s) {
        std::string where = a.path + "/" + file_name(s);
        auto data = file(where);
        if (!data) return wrong("ZAR-15", where, "is missing");
        uint64_t index_bytes = n_chunks * 16 + 4;
        auto bytes = reinterpret_cast<const uint8_t*>(data->data());
        if (data->size() < index_bytes) return wrong("ZAR-11", where, "is shorter than its index");
        uint64_t begin_index = data->size() - index_bytes;
        uint32_t stored;
        std::memcpy(&stored, bytes + data->size() - 4, 4);
        if (crc32c(bytes + begin_index, index_bytes - 4) != stored)
            return wrong("ZAR-11", where, "the CRC-32C of its index does not fit");
        std::vector<std::pair<uint64_t, uint64_t>> taken;
        uint64_t number = 0;
        grid(std::vector<int64_t>(axes, 0), per, [&](const std::vector<int64_t>& c) {
            uint64_t place[2], no = number++;
            std::memcpy(place, bytes + begin_index + 16 * no, 16);
            std::vector<int64_t> from(axes);
            bool inside = true;
            for (size_t k = 0; k < axes; k++) {
                from[k] = s[k] * a.shard[k] + c[k] * a.chunk[k];
                inside &= from[k] < a.shape[k];
            }
            std::string here = where + " chunk " + std::to_string(no);
            bool absent = place[0] == ~0ull && place[1] == ~0ull,
                 wanted = inside && from.back() < hi && from.back() + a.chunk.back() > lo;
            if (!whole && !wanted) return;
            if (absent) {
                if (wanted && !absent_ok) wrong("ZAR-16", here, "is absent");
                return;
            }
            if (place[0] == ~0ull || place[1] == ~0ull || place[0] > begin_index || place[1] > begin_index - place[0])
                return wrong("ZAR-24", here, "does not lie before the index");
            taken.emplace_back(place[0], place[1]);
            if (!inside) return wrong("ZAR-16", here, "lies beyond the shape and is there");
            const std::string* chunk = &decoded_[here];
            if (chunk->empty()) {
                std::string why = decode_chunk(bytes + place[0], place[1], item, chunk_bytes, decoded_[here]);
                if (!why.empty()) return decoded_.erase(here), wrong("ZAR-10", here, why);
            }
            // Line by line along the last axis: what is asked for is copied, what lies beyond the shape has to be fill
            // values.
            bool padded = true, filled = false;
            auto is_fill = [&](const char* v) { return std::memcmp(v, fill.data(), item) == 0; };
            int64_t width = a.chunk.back(), line = 0, inside_to = std::min(width, a.last() - from.back());
            int64_t x0 = std::max<int64_t>(0, lo - from.back()), x1 = std::min(inside_to, hi - from.back());
            grid(std::vector<int64_t>(axes - 1, 0), {a.chunk.begin(), a.chunk.end() - 1},
                 [&](const std::vector<int64_t>& e) {
                     const char* values = chunk->data() + item * width * line++;
                     int64_t target = 0;
                     bool within = true;
                     for (size_t k = 0; k + 1 < axes; k++) {
                         within &= from[k] + e[k] < a.shape[k];
                         target = target * out.shape[k] + from[k] + e[k];
                     }
                     if (whole)
                         for (int64_t x = within ? inside_to : 0; x < width; x++) padded &= is_fill(values + item * x);
                     if (!within) return;
                     for (int64_t x = x0; x < x1 && !counts && !filled; x++) filled = is_fill(values + item * x);
                     target = target * out.shape.back() + from.back() + x0 - lo;
                     if (x1 > x0) std::memcpy(&out.bytes[target * item], values + item * x0, (x1 - x0) * item);
                 });
            if (!padded) tell("ZAR-17", here, "an element beyond the shape is not the fill value");
            if (filled) tell("ZAR-18", here, "holds the fill value");
            if (decoded_.size() > 256) decoded_.clear();
        });
        std::sort(taken.begin(), taken.end());
        for (size_t k = 1; k < taken.size(); k++)
            if (taken[k - 1].first + taken[k - 1].second > taken[k].first) wrong("ZAR-24", where, "two chunks overlap");
    });
    return out;
}

std::string Store::string_at(const Json& strings, int64_t k, const Tell& tell) const {
    Array offsets(strings.at("offsets")), bytes(strings.at("bytes"));
    Values o = read(offsets, k, k + 2, tell);
    if (o.i(0) < 0 || o.i(0) > o.i(1) || o.i(1) > bytes.last())
        throw Refusal("ZAR-23 " + offsets.path + ": offsets fall or lie beyond the bytes");
    std::string s = read(bytes, o.i(0), o.i(1), tell).bytes;
    if (!is_utf8(s)) throw Refusal("ZAR-23 " + bytes.path + ": a string is not UTF-8");
    return s;
}

std::vector<std::string> Store::strings(const Json& strings, const Tell& tell, bool* damaged) const {
    Values o = all(strings.at("offsets"), tell), b = all(strings.at("bytes"), tell);
    std::string where = strings.at("offsets").at("path").text;
    std::vector<std::string> out(o.n - 1);
    bool bad = o.damaged || b.damaged;
    auto wrong = [&](const std::string& message) { bad = true, tell("ZAR-23", where, message); };
    if (!bad && o.i(0) != 0) wrong("does not begin with 0");
    if (!bad && o.i(o.n - 1) != b.n) wrong("does not end with the number of bytes");
    for (int64_t k = 0; k + 1 < o.n && !bad; k++) {
        if (o.i(k) > o.i(k + 1) || o.i(k + 1) > b.n)
            wrong("string " + std::to_string(k) + " ends before it begins, or beyond the bytes");
        else if (!is_utf8(out[k] = b.bytes.substr(o.i(k), o.i(k + 1) - o.i(k))))
            wrong("string " + std::to_string(k) + " is not UTF-8");
    }
    if (damaged) *damaged |= bad;
    return out;
}

Cell decode(const Values& v, int64_t lo, int64_t hi, int64_t n_genes, const std::string& where, const Tell& tell,
            bool strict) {
    Cell cell;
    int64_t g = 0, n = hi - lo;
    bool canonical = true, wrong = false;
    auto say = [&](const char* requirement, const char* message) { wrong = true, tell(requirement, where, message); };
    int64_t gap_entries = 0, last_count = 0;
    for (int64_t k = lo; k < hi && !wrong; k++) {
        int64_t d = v.row(0, k), c = v.row(1, k);
        if (d == 65535 && c == 65535)
            say("ZAR-18", "an entry is the fill value");
        else if ((d == 65535) != (c == 0))
            say("CNT-4", "an entry has the count 0 or the delta 65535, and not both");
        if (wrong) break;
        g += d;
        if (c == 0) {
            gap_entries++;
            continue;
        }
        if (d == 0 && gap_entries == 0 && !cell.values.empty()) {
            canonical &= last_count == 65535;
            cell.values.back().second += c;
        } else if (!cell.values.empty() && cell.values.back().first == g) {
            canonical = false;
            cell.values.back().second += c;
        } else
            cell.values.emplace_back(g, c);
        gap_entries = 0, last_count = c;
    }
    if (!wrong && n > 0 && g >= n_genes) say("CNT-5", "a gene is beyond those of the part");
    for (auto& [gene, value] : cell.values)
        if (!wrong && value >= (int64_t)1 << 53) say("CNT-5", "a value is 2^53 or more");
    if (!wrong && strict && (!canonical || gap_entries)) say("CNT-3", "the entries are not the canonical form");
    if (wrong) cell.values.clear();
    return cell;
}
