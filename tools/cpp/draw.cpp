// From a table and a seed to rows (sampling.md): independent draws, stratified and epoch plans, on integers alone.
#include <algorithm>
#include <sstream>

#include "store.hpp"

typedef unsigned __int128 u128;

namespace {
// S(d, i, j)[m] of SAM-1.
uint32_t word(uint64_t seed, uint32_t d, uint64_t i, uint32_t j, uint32_t m) {
    return philox(seed, d + 256 * (m / 4), i, j)[m % 4];
}

uint32_t fmix32(uint32_t h) {
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return h ^ h >> 16;
}

// pi(k) of the permutation of n that (seed, d, i, j) names (SAM-3, SAM-4).
uint64_t permuted(uint64_t k, uint64_t n, uint64_t seed, uint32_t d, uint64_t i, uint32_t j) {
    if (n <= 256) {
        std::vector<uint32_t> out(n);
        for (uint64_t x = 0; x < n; x++) out[x] = (uint32_t)x;
        uint32_t m = 0;
        for (uint64_t x = n - 1; n && x > 0; x--, m++)
            std::swap(out[x], out[((u128)word(seed, d, i, j, m) * (x + 1)) >> 32]);
        return out[k];
    }
    int b = 64 - __builtin_clzll(n - 1), low = (b + 1) / 2;
    uint64_t right_mask = (1ull << low) - 1, left_mask = (1ull << (b - low)) - 1;
    do {
        uint64_t R = k & right_mask, L = k >> low;
        for (uint32_t r = 0; r < 8; r++) {
            uint32_t key = word(seed, d, i, j, r);
            if (r % 2 == 0)
                L ^= fmix32((uint32_t)R ^ key) & left_mask;
            else
                R ^= fmix32((uint32_t)L ^ key) & right_mask;
        }
        k = L << low | R;
    } while (k >= n);
    return k;
}

struct Table {
    uint64_t K = 1, B = 32, seed = 0, block = 64, lanes = 8, window = 65536;
    std::vector<uint64_t> q, counts, threshold, alias;
    std::vector<std::vector<std::pair<int64_t, int64_t>>> runs;  // of each stratum: start and length

    int64_t row(uint64_t c, uint64_t k) const {
        for (auto& [start, length] : runs[c]) {
            if (k < (uint64_t)length) return start + (int64_t)k;
            k -= length;
        }
        throw Refusal("TAB-7: a stratum has fewer rows than it counts");
    }

    int64_t independent(uint64_t t) const {  // SAM-10
        auto w = philox(seed, 1, t, 0);
        uint64_t j = K == 1 ? 0 : w[0] >> (64 - B), c = w[1] < threshold[j] ? j : alias[j];
        return row(c, (uint64_t)((u128)(w[2] | (uint64_t)w[3] << 32) * counts[c] >> 64));
    }

    std::vector<uint64_t> phases() const {
        std::vector<uint64_t> phi;
        for (uint64_t c = 0; c < K; c++) phi.push_back(u64(philox(seed, 2, 0, (uint32_t)c)) >> (64 - B));
        return phi;
    }

    // A_c(t) of SAM-21: how many of the first t positions are of each stratum.
    std::vector<uint64_t> before(uint64_t t, const std::vector<uint64_t>& phi) const {
        auto a = [&](uint64_t c, uint64_t x) { return (uint64_t)(((u128)x * q[c] + phi[c]) >> B); };
        auto N = [&](uint64_t x) {
            uint64_t n = 0;
            for (uint64_t c = 0; c < K; c++) n += a(c, x);
            return n;
        };
        uint64_t lo = t > K ? t - K : 0, hi = t + K;  // N(lo) <= t < N(hi)
        while (hi - lo > 1) {
            uint64_t x = lo + (hi - lo) / 2;
            (N(x) <= t ? lo : hi) = x;
        }
        uint64_t more = t - N(lo);
        std::vector<uint64_t> out;
        for (uint64_t c = 0; c < K; c++) {
            uint64_t n = a(c, lo);
            if (more && a(c, lo + 1) > n) n++, more--;
            out.push_back(n);
        }
        return out;
    }

    // The number in its stratum of the p-th cell (SAM-23).
    uint64_t cell(uint64_t c, uint64_t p) const {
        uint64_t n = counts[c], e = p / n, o = p % n, m = n / block;
        uint64_t g = o / block < m ? permuted(o / block, m, seed, 3, e, (uint32_t)c) : m;
        uint64_t rho = (uint64_t)((u128)u64(philox(seed, 5, e, (uint32_t)c)) * n >> 64);
        return (block * g + o % block + rho) % n;
    }

    // The slot of position u of window w with `size` positions (SAM-24, SAM-25).
    uint64_t slot(uint64_t u, uint64_t w, uint64_t size) const {
        uint64_t L = size - size % (block * lanes);
        if (u >= L) return L + permuted(u - L, size - L, seed, 6, w, (uint32_t)lanes);
        uint64_t v = u % lanes, i = permuted(u / lanes, L / lanes, seed, 6, w, (uint32_t)v);
        return i / block * block * lanes + block * v + i % block;
    }
};

struct Window {
    std::vector<std::pair<uint64_t, uint64_t>> slots;  // stratum and number of the cell
};

Window stratified_window(const Table& t, uint64_t w) {  // SAM-22
    auto phi = t.phases(), from = t.before(w * t.window, phi), to = t.before((w + 1) * t.window, phi);
    Window out;
    for (uint64_t c = 0; c < t.K; c++) {
        std::vector<uint64_t> cells;
        for (uint64_t p = from[c]; p < to[c]; p++) cells.push_back(t.cell(c, p));
        std::sort(cells.begin(), cells.end());
        for (uint64_t k : cells) out.slots.emplace_back(c, k);
    }
    return out;
}

Table load(const Store& s, const Json& t) {
    Tell tell = refusing();
    std::string cells = cells_digest(*s.manifest, t.at("n_rows").integer());
    if (cells != t.at("cells").text)
        throw Refusal("TAB-14 table " + t.at("name").text + ": its cells are not those of the store");
    Table out;
    out.K = t.at("n_strata").integer();
    out.B = t.at("bits").integer();
    auto numbers = [&](const char* name) {
        Values v = s.all(t.at(name), tell);
        std::vector<uint64_t> all;
        for (int64_t k = 0; k < v.n; k++) {
            if (v.i(k) < 0) throw Refusal("TAB-1 table " + t.at("name").text + ": a negative number");
            all.push_back(v.i(k));
        }
        return all;
    };
    out.q = numbers("masses"), out.counts = numbers("counts"), out.threshold = numbers("threshold"),
    out.alias = numbers("alias");
    auto offsets = numbers("offsets");
    auto rows = t.find("rows");
    auto start = numbers(rows ? "rows" : "run_start"),
         length = rows ? std::vector<uint64_t>(start.size(), 1) : numbers("run_length");
    for (uint64_t c = 0; c < out.K; c++) {
        out.runs.emplace_back();
        if (offsets[c] > offsets[c + 1] || offsets[c + 1] > start.size())
            throw Refusal("TAB-7 table: offsets do not fit");
        for (uint64_t k = offsets[c]; k < offsets[c + 1]; k++) out.runs.back().emplace_back(start[k], length[k]);
    }
    for (uint64_t a : out.alias)
        if (a >= out.K) throw Refusal("TAB-4 table: an alias is no stratum");
    return out;
}

uint64_t natural(const std::map<std::string, std::string>& o, const char* name, const char* otherwise) {
    auto at = o.find(name);
    std::string text = at == o.end() ? otherwise : at->second;
    if (text.empty() || text.size() > 20 || text.find_first_not_of("0123456789") != std::string::npos)
        throw Refusal(std::string("--") + name + " is no number", 2);
    return std::strtoull(text.c_str(), nullptr, 10);
}
}  // namespace

// The table at another temperature: tables.cpp.
void heat(std::vector<uint64_t>& masses, std::vector<uint64_t>& threshold, std::vector<uint64_t>& alias, uint64_t B,
          double temperature);

std::string draw(const Store& s, const std::map<std::string, std::string>& o) {
    const Json& m = *s.manifest;
    auto get = [&](const char* n) {
        auto at = o.find(n);
        return at == o.end() ? std::string() : at->second;
    };
    std::string plan = get("plan"), name = get("table");
    if (plan != "independent" && plan != "stratified" && plan != "epoch")
        throw Refusal("--plan is independent, stratified or epoch", 2);
    const Json* entry = nullptr;
    for (auto& t : m.at("tables").items)
        if (t.at("name").text == name) entry = &t;
    if (!entry && !(plan == "epoch" && name.empty())) throw Refusal("there is no table " + name, 2);
    Table base;
    if (entry)
        base = load(s, *entry);
    else
        base.counts = {(uint64_t)m.at("n_cells").integer()}, base.q = {1ull << 32},
        base.runs = {{{0, m.at("n_cells").integer()}}};
    if (plan == "epoch" && entry) {  // one stratum: the cells of all, in the order of their rows
        std::vector<std::pair<int64_t, int64_t>> all;
        uint64_t n = 0;
        for (auto& r : base.runs) all.insert(all.end(), r.begin(), r.end());
        std::sort(all.begin(), all.end());
        for (auto& r : all) n += r.second;
        base.K = 1, base.counts = {n}, base.runs = {all};
    }
    base.seed = natural(o, "seed", "0"), base.window = natural(o, "window", "65536"),
    base.lanes = natural(o, "lanes", "8"), base.block = natural(o, "block", "64");
    uint64_t start = natural(o, "start", "0"), count = natural(o, "count", "1"), rank = natural(o, "rank", "0"),
             ranks = natural(o, "world-size", "1");
    if (!base.lanes || !base.block || !base.window || !ranks || base.window % (base.lanes * base.block))
        throw Refusal("SAM-20: block x lanes does not divide the window", 2);
    std::vector<std::pair<uint64_t, Table>> pieces = {{0, base}};
    if (o.count("schedule")) {
        if (plan == "epoch") throw Refusal("SAM-40: an epoch plan has no schedule", 2);
        pieces.clear();
        std::istringstream in(get("schedule"));
        for (std::string piece; std::getline(in, piece, ',');) {
            Table t = base;
            heat(t.q, t.threshold, t.alias, t.B, std::strtod(piece.c_str() + piece.find(':') + 1, nullptr));
            pieces.emplace_back(std::strtoull(piece.c_str(), nullptr, 10), t);
        }
        if (pieces.empty() || pieces[0].first) throw Refusal("SAM-40: a schedule begins at 0", 2);
    }
    std::map<std::pair<size_t, uint64_t>, Window> windows;
    std::vector<int64_t> rows;
    uint64_t n = base.counts.empty() ? 0 : base.counts[0];
    if (plan == "epoch" && !n) throw Refusal("there are no cells to draw", 1);
    for (uint64_t t = start; t < start + count; t++) {
        if (t % ranks != rank) continue;
        size_t piece = pieces.size() - 1;
        while (pieces[piece].first > t) piece--;
        const Table& table = pieces[piece].second;
        if (plan == "independent") {
            rows.push_back(table.independent(t));
            continue;
        }
        uint64_t w = t / table.window, u = t % table.window, size = table.window;
        if (plan == "epoch") {  // SAM-30
            uint64_t E = t / n, x = t % n, W = table.window, in = x / W, first = E * n + in * W;
            w = E * ((n + W - 1) / W) + in, u = x % W, size = std::min(W, n - in * W);
            auto& window = windows[{piece, w}];
            if (window.slots.empty()) {
                for (uint64_t p = first; p < first + size; p++) window.slots.emplace_back(0, table.cell(0, p));
                std::sort(window.slots.begin(), window.slots.end());
            }
        } else if (!windows.count({piece, w}))
            windows[{piece, w}] = stratified_window(table, w);
        auto [c, k] = windows[{piece, w}].slots[table.slot(u, w, size)];
        rows.push_back(table.row(c, k));
    }
    return "{\"rows\":" + list_json(rows, [](int64_t r) { return std::to_string(r); }) + "}";
}
