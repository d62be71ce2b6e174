// Level 4: sampling tables; and the neighbour tables of level 3.
#include <algorithm>

#include "store.hpp"

typedef unsigned __int128 u128;

// TAB-4.
static void alias_table(const std::vector<uint64_t>& q, uint64_t B, std::vector<uint64_t>& threshold,
                        std::vector<uint64_t>& alias) {
    const uint64_t full = 1ull << 32, M = 1ull << (B - 32);
    std::vector<uint64_t> r(q), A, Z;
    r.resize(M);
    threshold.assign(M, full), alias.resize(M);
    for (uint64_t j = M; j-- > 0;) {
        alias[j] = j;
        if (r[j] < full)
            A.push_back(j);
        else if (r[j] > full)
            Z.push_back(j);
    }
    while (!A.empty() && !Z.empty()) {
        uint64_t s = A.back(), l = Z.back();
        A.pop_back();
        threshold[s] = r[s], alias[s] = l;
        r[l] -= full - r[s];
        if (r[l] <= full) Z.pop_back();
        if (r[l] < full) A.push_back(l);
    }
}

// TAB-2: masses of weights. The sum is exact: v is below 1 and a multiple of 2^-1074, so 1,200 bits and 30 for K hold
// it.
static std::vector<uint64_t> masses_of(const std::vector<double>& w, uint64_t B) {
    int e;
    double most = *std::max_element(w.begin(), w.end());
    std::frexp(most, &e);
    std::vector<uint32_t> sum(40, 0);  // little-endian, in units of 2^-1120
    std::vector<double> v;
    for (double x : w) {
        v.push_back(std::ldexp(x, -e));
        int ex;
        uint64_t bits = (uint64_t)std::ldexp(std::frexp(v.back(), &ex), 53);
        if (!bits) continue;
        int at = ex - 53 + 1120;  // value = bits 2^(ex - 53)
        u128 shifted = (u128)bits << (at % 32);
        uint64_t carry = 0;
        for (size_t k = at / 32; k < sum.size(); k++, shifted >>= 32) {
            carry += (uint64_t)sum[k] + (uint32_t)shifted;
            sum[k] = (uint32_t)carry;
            carry >>= 32;
            if (!carry && !(shifted >> 32)) break;
        }
    }
    size_t top = sum.size() - 1;
    while (!sum[top]) top--;
    u128 head = 0;
    for (int k = 0; k < 4; k++) head = head << 32 | (top >= (size_t)k ? sum[top - k] : 0);
    bool rest = false;
    for (size_t k = 0; k + 4 <= top; k++) rest |= sum[k] != 0;
    int length = 128;
    while (!(head >> (length - 1))) length--;
    u128 mantissa = head >> (length - 53), low = head & (((u128)1 << (length - 53)) - 1),
         half = (u128)1 << (length - 54);
    if (low > half || (low == half && (rest || (mantissa & 1)))) mantissa++;
    double S = std::ldexp((double)(uint64_t)mantissa, length - 53 + 32 * ((int)top - 3) - 1120);
    std::vector<uint64_t> q;
    uint64_t total = 0;
    for (size_t c = 0; c < w.size(); c++) {
        q.push_back((uint64_t)std::floor(std::ldexp(v[c] / S, (int)B)));
        if (w[c] > 0 && !q[c]) q[c] = 1;
        total += q[c];
    }
    *std::max_element(q.begin(), q.end()) += (1ull << B) - total;
    return q;
}

// TAB-5. The power is exact to a long double's 64 bits, and rounded from there.
void heat(std::vector<uint64_t>& q, std::vector<uint64_t>& threshold, std::vector<uint64_t>& alias, uint64_t B,
          double temperature) {
    if (!(temperature > 0) || !std::isfinite(temperature)) throw Refusal("TAB-5: a temperature is a number above 0", 2);
    if (temperature == 1) return;
    double most = (double)*std::max_element(q.begin(), q.end()), power = 1 / temperature;
    std::vector<double> w;
    for (uint64_t x : q)
        w.push_back(
            x ? std::max((double)std::pow((long double)((double)x / most), (long double)power), std::ldexp(1, -1022))
              : 0);
    q = masses_of(w, B);
    alias_table(q, B, threshold, alias);
}

namespace {
struct TableCheck {
    const Store& s;
    const Json& t;
    const Tell& out;
    std::string where = "tables/" + t.at("name").text;
    bool bad = false;

    void tell(const char* requirement, const std::string& message) { bad = true, out(requirement, where, message); }
    std::vector<int64_t> numbers(const char* name) {
        Values v = s.all(t.at(name), out);
        bad |= v.damaged;
        std::vector<int64_t> all;
        for (int64_t k = 0; k < v.n; k++) all.push_back(v.i(k));
        return all;
    }
    std::vector<std::pair<int64_t, int64_t>> runs = {};
    std::vector<int64_t> offsets = {};

    void check() {
        auto counts = numbers("counts"), q = numbers("masses"), threshold = numbers("threshold"),
             alias = numbers("alias"), codes = numbers("codes");
        offsets = numbers("offsets");
        bool listed = t.find("rows");
        auto start = numbers(listed ? "rows" : "run_start"),
             length = listed ? std::vector<int64_t>() : numbers("run_length");
        if (bad) return;
        int64_t K = (int64_t)q.size(), B = t.at("bits").integer(), n_rows = t.at("n_rows").integer(), n = 0;
        u128 sum = 0;
        bool negative = false;
        for (int64_t c = 0; c < K; c++) {
            negative |= q[c] < 0 || counts[c] < 0;
            sum += (u128)(uint64_t)q[c], n += counts[c];
            if (q[c] > 0 && counts[c] < 1) tell("TAB-1", "a stratum has a mass and no cell");
        }
        if (negative || sum != (u128)1 << B)
            tell("TAB-1", "the masses do not sum to 2^B, or a number is negative");
        else {
            std::vector<uint64_t> wanted_threshold, wanted_alias;
            alias_table({q.begin(), q.end()}, B, wanted_threshold, wanted_alias);
            for (size_t j = 0; j < threshold.size(); j++)
                if ((uint64_t)threshold[j] != wanted_threshold[j] || (uint64_t)alias[j] != wanted_alias[j]) {
                    tell("TAB-4", "the alias table is not that of the masses");
                    break;
                }
        }
        auto figure = [&](const char* name) { return t.at(name).integer(); };
        if (figure("n_cells") != n || figure("n_cells") + figure("n_missing") + figure("n_left_out") > n_rows)
            tell("TAB-16", "the numbers of cells do not fit");
        std::string cells = n_rows <= s.manifest->at("n_cells").integer() ? cells_digest(*s.manifest, n_rows) : "";
        if (cells != t.at("cells").text) tell("TAB-9", "cells are not those of the store");
        std::string text = "scformat table 1\ncells " + t.at("cells").text + "\n";
        auto add = [&](const char* name, const std::vector<int64_t>& v) {
            text += std::string(name) + " " + std::to_string(v.size()) + "\n";
            text.append(reinterpret_cast<const char*>(v.data()), 8 * v.size());
        };
        add("counts", counts), add("masses", q), add("threshold", threshold), add("alias", alias),
            add("offsets", offsets);
        add(listed ? "rows" : "run_start", start);
        if (!listed) add("run_length", length);
        if (sha256_hex(text) != t.at("sha256").text) tell("TAB-10", "sha256 is not that of the table");
        check_rows(start, length, counts, listed, n_rows);
        if (!bad) check_cells(codes, K);
    }

    void check_rows(const std::vector<int64_t>& start, const std::vector<int64_t>& length,
                    const std::vector<int64_t>& counts, bool listed, int64_t n_rows) {
        int64_t K = (int64_t)counts.size();
        bool fits = offsets[0] == 0 && offsets[K] == (int64_t)start.size();
        for (int64_t c = 0; c < K; c++) fits &= offsets[c] <= offsets[c + 1];
        if (!fits) return tell("TAB-7", "offsets do not begin with 0, ascend and end with the number of runs");
        for (size_t k = 0; k < start.size(); k++) {
            int64_t many = listed ? 1 : length[k];
            if (many < 1) return tell("TAB-7", "a run has no row");
            if (start[k] < 0 || start[k] >= n_rows || many > n_rows - start[k])
                return tell("TAB-8", "a row is not there");
            runs.emplace_back(start[k], many);
        }
        for (int64_t c = 0; c < K; c++) {
            int64_t n = 0;
            for (int64_t k = offsets[c]; k < offsets[c + 1]; k++) {
                n += runs[k].second;
                if (k == offsets[c]) continue;
                int64_t end = runs[k - 1].first + runs[k - 1].second;
                if (runs[k].first < end || (!listed && runs[k].first == end))
                    tell("TAB-7", "runs of a stratum touch, or rows do not ascend");
            }
            if (n != counts[c]) tell("TAB-7", "a stratum has another number of rows than it counts");
        }
        auto sorted = runs;
        std::sort(sorted.begin(), sorted.end());
        for (size_t k = 1; k < sorted.size(); k++)
            if (sorted[k].first < sorted[k - 1].first + sorted[k - 1].second)
                return tell("TAB-8", "a row is in two strata");
    }

    // TAB-15: the cells have the codes of their stratum, and the split.
    void check_cells(const std::vector<int64_t>& codes, int64_t K) {
        const Json& m = *s.manifest;
        auto code_of = [&](const char* kind, const std::string& name) {
            std::vector<int64_t> all;
            for (auto& p : m.at("parts").items) {
                auto place = std::string(kind) == "split" ? p.find("split") : p.at("labels").find(name);
                int64_t n = p.at("n_cells").integer();
                if (!place) {
                    all.insert(all.end(), n, -1);
                    continue;
                }
                auto field = place->find("field");
                Values v = s.all(field ? p.at("index") : place->at("array"), out);
                for (int64_t c = 0; c < n; c++) all.push_back(field ? v.row(field->integer(), c) : v.i(c));
            }
            return all;
        };
        auto each = [&](const std::function<bool(int64_t, int64_t)>& right) {
            for (int64_t c = 0; c < K; c++)
                for (int64_t k = offsets[c]; k < offsets[c + 1]; k++)
                    for (int64_t r = runs[k].first; r < runs[k].first + runs[k].second; r++)
                        if (!right(c, r)) return tell("TAB-15", "row " + std::to_string(r) + " is not of its stratum");
        };
        for (size_t i = 0; i < t.at("keys").items.size(); i++) {
            const Json &key = t.at("keys").items[i], *label = nullptr;
            if (key.at("kind").text != "label") continue;
            for (auto& l : m.at("labels").items)
                if (l.at("name").text == key.at("name").text) label = &l;
            if (!label) {
                tell("TAB-15", "is of a label that is not there");
                continue;
            }
            int64_t named = -2;
            if (auto missing = key.find("missing"); missing && missing->kind == Json::String) {
                auto categories = s.strings(label->at("categories"), out);
                auto at = std::find(categories.begin(), categories.end(), missing->text);
                if (at != categories.end()) named = at - categories.begin();
            }
            auto cell = code_of("label", key.at("name").text);
            each([&](int64_t c, int64_t r) {
                int64_t wanted = codes[i * K + c];
                return cell[r] == wanted || (cell[r] == -1 && wanted == named);
            });
        }
        auto split = t.find("split");
        if (!split || split->kind != Json::String) return;
        int64_t wanted = -1, n = 0;
        if (auto splits = m.find("splits"))
            for (auto& v : splits->at("names").items) {
                if (v.text == split->text) wanted = n;
                n++;
            }
        if (wanted < 0) return tell("TAB-15", "is of a split that is not there");
        auto cell = code_of("split", "");
        each([&](int64_t, int64_t r) { return cell[r] == wanted; });
    }
};
}  // namespace

void check_tables(const Store& s, const Tell& tell) {
    for (auto& t : s.manifest->at("tables").items) TableCheck{s, t, tell}.check();
}

void check_neighbours(const Store& s, const Tell& tell) {
    auto near = s.manifest->find("neighbours");
    for (size_t k = 0; near && k < near->items.size(); k++) {
        const Json& t = near->items[k];
        std::string w = "neighbours/" + t.at("name").text, bytes, weight_bytes;
        Values rows = s.all(t.at("rows"), tell), weights;
        bool weighted = t.find("weights"), distance = weighted && t.at("weight").text == "distance";
        if (weighted) weights = s.all(t.at("weights"), tell);
        if (rows.damaged || weights.damaged) continue;
        int64_t K = t.at("k").integer(), n = t.at("n_rows").integer(), found = 0;
        std::set<std::string> wrong;
        for (int64_t i = 0; i < n; i++) {
            std::set<int64_t> seen;
            bool ended = false;
            for (int64_t j = 0; j < K; j++) {
                int64_t r = rows.row(j, i);
                bytes.append(reinterpret_cast<const char*>(&r), 8);
                if (r < -1 || r >= n || r == i || (r >= 0 && (ended || !seen.insert(r).second))) wrong.insert("NBR-4");
                ended |= r == -1;
                found += r >= 0;
                if (!weighted) continue;
                double x = weights.d(j * n + i), last = j ? weights.d((j - 1) * n + i) : x;
                float f = (float)x;
                weight_bytes.append(reinterpret_cast<const char*>(&f), 4);
                if (!std::isfinite(x) || (r == -1 && x != 0) || (r >= 0 && j && (distance ? x < last : x > last)))
                    wrong.insert("NBR-5");
            }
        }
        if (found != t.at("n_neighbours").integer()) wrong.insert("NBR-4");
        std::string lines = "scformat neighbours 1\ncells " + t.at("cells").text + "\nk " + std::to_string(K) +
                            "\nrows " + sha256_hex(bytes) + "\n";
        if (weighted) lines += "weights " + sha256_hex(weight_bytes) + "\n";
        if (sha256_hex(lines) != t.at("sha256").text) wrong.insert("NBR-8");
        for (auto& r : wrong) tell(r, w, "does not hold");
    }
}
