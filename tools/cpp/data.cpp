#include "data.hpp"

typedef unsigned __int128 u128;

void DataCheck::part(const Json& p, const std::string& w) {
    int64_t n = integer(p, "n_cells"), first = integer(p.at("sources"), "first"), S = integer(p.at("sources"), "n");
    Values index = s_.all(p.at("index"), tell_);
    auto content = ints(p.at("content"));
    strings(p.at("barcode"));
    for (int64_t c = 0; c < n; c++) {
        std::string where = w + " cell " + std::to_string(c);
        int64_t source = index.row(1, c), source_row = index.row(2, c);
        if (source < first || source >= first + S || source_row < 0 || source_row >= sources_[source].n_rows)
            tell("CEL-5", where, "its source or source_row is not there");
        for (int f : {3, 4})
            if (index.row(f, c) < 0 && index.row(f, c) != -3) tell("CEL-7", where, "a negative number");
        source_.push_back(source), source_row_.push_back(source_row), total_.push_back(index.row(3, c)),
            n_genes_.push_back(index.row(4, c));
        content_.push_back(content[c]);
        if (content[c] < 0) tell("CEL-10", where, "content is negative");
    }
    for (auto& l : m_.at("labels").items) {
        const std::string& name = l.at("name").text;
        auto place = p.at("labels").find(name);
        auto of_part = place ? codes(*place, index, n) : std::vector<int64_t>(n, -1);
        for (int64_t x : of_part)
            if (x < -1 || x >= (int64_t)categories_[name].size()) {
                tell("LAB-7", w + " label " + name, "a code is not there");
                break;
            }
        auto& all = label_codes_[name];
        all.insert(all.end(), of_part.begin(), of_part.end());
    }
    if (auto place = p.find("split")) {
        auto of_part = codes(*place, index, n);
        for (int64_t x : of_part)
            if (x < -1 || x >= (int64_t)m_.at("splits").at("names").items.size()) {
                tell("SPL-3", w, "a split code is not there");
                break;
            }
        split_.insert(split_.end(), of_part.begin(), of_part.end());
    } else
        split_.insert(split_.end(), n, -1);
    obs(p, w);
    if (found_) return;
    counts(p, w, index);
    if (!found_) order(p, w);
}

void DataCheck::counts(const Json& p, const std::string& w, const Values& index) {
    const Json& src = p.at("sources");
    int64_t n = integer(p, "n_cells"), G = integer(src, "n_genes"), first = integer(src, "first"),
            S = integer(src, "n"), start = integer(p, "start");
    auto rows = ints(p.at("shard_rows"));
    bool fits = rows[0] == 0 && rows.back() == n;
    for (size_t k = 1; k < rows.size(); k++) fits &= rows[k] > rows[k - 1];
    if (!fits) return tell("CNT-9", w + "/shard_rows", "does not begin with 0, increase and end with n_cells");
    columns_of_sources(p, w);
    auto measured = s_.all(src.at("measured"), tell_), stats = s_.all(src.at("stats"), tell_);
    if (found_) return;

    Array a(p.at("entries"));
    int64_t e = a.shard[1], sum = 0;
    std::vector<std::map<int64_t, std::vector<int64_t>>> values(S);  // of each source and gene the values above 0
    std::vector<std::pair<int64_t, u128>> of_source(S);
    for (size_t k = 0; k + 1 < rows.size(); k++) {
        std::string shard = w + " shard " + std::to_string(k);
        int64_t end = 0;
        bool falls = false;
        for (int64_t c = rows[k]; c < rows[k + 1]; c++) {
            if (index.row(0, c) < end || index.row(0, c) > e) falls = true;
            end = index.row(0, c);
        }
        if (falls) {
            tell("CNT-11", shard, "row_end falls, or lies beyond the shard");
            continue;
        }
        sum += end;
        bool absent = false;
        Values v = s_.read(a, k * e, (k + 1) * e, [&](auto&, auto&, auto&) { absent = true; }, true, true);
        for (int64_t x = end; x < e && !absent; x++)
            if (v.row(0, x) != 65535 || v.row(1, x) != 65535) {
                tell("CNT-8", shard, "the tail holds an entry");
                break;
            }
        present_chunks(a, k, end, shard);
        for (int64_t c = rows[k], begin = 0; c < rows[k + 1]; begin = index.row(0, c++)) {
            bool broken = false;
            Tell note = [&](auto& r, auto& where, auto& m) { broken |= r != "CNT-3", tell_(r, where, m); };
            Cell cell = decode(v, begin, index.row(0, c), G, w + " cell " + std::to_string(c), note, true);
            int64_t local = index.row(1, c) - first;
            for (auto& [g, x] : cell.values) {
                if (g < G && !measured.row(local, g))
                    tell("SRC-7", w + " cell " + std::to_string(c),
                         "has a count of a gene that its source did not measure");
                values[local][g].push_back(x);
                of_source[local].first++, of_source[local].second += x;
            }
            if (!broken) cell_figures(sources_[first + local], cell, start + c);
        }
    }
    if (sum != integer(p, "n_entries")) tell("CNT-11", w, "n_entries is not the sum over the shards");
    for (int64_t s = 0; s < S; s++) {
        std::string where = "source " + std::to_string(first + s);
        const Json& r = sources_[first + s].record;
        if (of_source[s].first != integer(r, "n_nonzero") || of_source[s].second != (u128)integer(r, "total"))
            tell("SRC-11", where, "n_nonzero or total is another");
        for (int64_t g = 0; g < G; g++) {
            auto& v = values[s][g];
            u128 total = 0, squares = 0;
            for (int64_t x : v) total += x, squares += (u128)x * x;
            std::sort(v.begin(), v.end());
            int64_t median = v.empty() ? 0 : v[(v.size() - 1) / 2];
            auto stat = [&](int k) { return stats.i((k * S + s) * G + g); };
            bool large = squares > (u128)1 << 53 && stat(2) == -3;
            if (stat(0) != (int64_t)v.size() || (u128)stat(1) != total ||
                (!large && (u128)(__int128)stat(2) != squares) || stat(3) != median)
                tell("SRC-8", where, "the statistics of gene " + std::to_string(g) + " are others");
        }
    }
}

// CNT-8: chunks of the tail that hold nothing are absent, the others are there (ZAR-16).
void DataCheck::present_chunks(const Array& a, int64_t k, int64_t end, const std::string& where) {
    std::string bytes;
    if (!read_file(s_.root + "/" + a.path + "/c/0/" + std::to_string(k), bytes)) return;
    int64_t n = a.shard[1] / a.chunk[1];
    for (int64_t c = 0; c < n; c++) {
        uint64_t place;
        std::memcpy(&place, bytes.data() + bytes.size() - 4 - 16 * (n - c), 8);
        bool absent = place == ~0ull, wanted = c * a.chunk[1] < end;
        if (wanted && absent) tell("ZAR-16", where, "chunk " + std::to_string(c) + " is absent");
        if (!wanted && !absent) tell("CNT-8", where, "chunk " + std::to_string(c) + " of the tail is there");
    }
}

void DataCheck::cell_figures(const Source& source, const Cell& cell, size_t row) {
    std::string where = "row " + std::to_string(row);
    u128 total = 0;
    uint64_t h = 0;
    for (auto& [g, x] : cell.values) {
        total += x;
        if (g < (int64_t)key_.size()) h += (uint64_t)x * key_[g];
    }
    // With all columns kept the figures are those of the entries; otherwise these are lower bounds.
    auto figure = [&](int64_t stored, u128 own, bool exact) {
        if (stored == -3) return !exact || own >= (u128)1 << 31;
        return exact ? (u128)stored == own : (u128)stored >= own;
    };
    if (!figure(total_[row], total, source.left_out == 0) ||
        !figure(n_genes_[row], cell.values.size(), source.left_out == 0 && source.merged == 0))
        tell("CEL-7", where, "total_counts or n_genes is not that of its entries");
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93ull;
    if (source.left_out == 0 && content_[row] != (int64_t)(h >> 1)) tell("CEL-10", where, "content is another");
}

void DataCheck::columns_of_sources(const Json& p, const std::string& w) {
    const Json& src = p.at("sources");
    int64_t first = integer(src, "first"), S = integer(src, "n"), G = integer(src, "n_genes");
    auto offsets = ints(src.at("var_offsets")), gene = ints(src.at("var_gene"));
    strings(src.at("var_names"));
    Values measured = s_.all(src.at("measured"), tell_);
    bool fits = offsets[0] == 0 && offsets[S] == (int64_t)gene.size();
    for (int64_t s = 0; s < S; s++)
        fits &= offsets[s] <= offsets[s + 1] &&
                integer(sources_[first + s].record, "n_vars") == offsets[s + 1] - offsets[s];
    if (!fits) return tell("SRC-9", w, "var_offsets do not fit the columns of the sources");
    for (int64_t x : gene)
        if (x < -1 || x >= G) return tell("SRC-10", w, "a column is a gene that is not there");
    for (int64_t s = 0; s < S; s++) {
        const Json& r = sources_[first + s].record;
        std::string where = "source " + std::to_string(first + s);
        std::set<int64_t> seen, taxa;
        int64_t left_out = 0, merged = 0, resolved = 0;
        for (int64_t k = offsets[s]; k < offsets[s + 1]; k++) {
            if (gene[k] < 0) {
                left_out++;
                continue;
            }
            merged += !seen.insert(gene[k]).second;
            resolved += resolved_[gene[k]] == 1;
            taxa.insert(taxon_[gene[k]]);
        }
        for (int64_t g = 0; g < G; g++)
            if (measured.row(s, g) != (int64_t)seen.count(g)) {
                tell("SRC-5", where, "measured of gene " + std::to_string(g) + " is not what its columns say");
                break;
            }
        // Columns that were left out can be anything: they only add.
        auto between = [&](const char* name, int64_t own) {
            return integer(r, name) >= own && integer(r, name) <= own + left_out;
        };
        std::set<int64_t> named;
        for (auto& t : r.at("organisms").items) named.insert(t.integer());
        bool right = std::includes(named.begin(), named.end(), taxa.begin(), taxa.end()) && (left_out || named == taxa);
        if (integer(r, "n_left_out") != left_out || !between("n_merged", merged) || !between("n_resolved", resolved) ||
            !right)
            tell("SRC-11", where, "n_left_out, n_merged, n_resolved or organisms are others");
    }
}

// A number in the fewest digits that read back as the same: `0.1`, `120.0`, `1e-05` (SPL-12).
static std::string float_text(double x) {
    if (std::isnan(x)) return "";  // a missing value
    if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
    char text[40];
    int many = 1;
    for (; many <= 17; many++) {
        std::snprintf(text, sizeof text, "%.*e", many - 1, x);
        if (std::strtod(text, nullptr) == x) break;
    }
    int exponent = std::atoi(std::strchr(text, 'e') + 1);
    if (x != 0 && (exponent < -4 || exponent >= 16)) return text;
    std::snprintf(text, sizeof text, "%.*f", std::max(1, many - 1 - exponent), x);
    return text;
}

void DataCheck::obs(const Json& p, const std::string& w) {
    int64_t n = integer(p, "n_cells");
    for (auto& column : m_.at("obs").items) {
        const std::string &name = column.at("name").text, &kind = column.at("kind").text, where = w + " column " + name;
        auto& text = text_[name];
        auto o = p.at("obs").find(name);
        if (!o || column.find("label")) {
            text.insert(text.end(), n, {false, ""});
            continue;
        }
        auto missing = o->find("missing") ? ints(o->at("missing")) : std::vector<int64_t>(n, 0);
        for (int64_t x : missing)
            if (x < 0 || x > 1) {
                tell("CEL-16", where, "missing is not 0 or 1");
                break;
            }
        if (kind == "categorical") {
            auto& categories = column_categories_[name];
            for (int64_t x : ints(o->at("codes"))) {
                bool right = x >= -1 && x < (int64_t)categories.size();
                if (!right) tell("CEL-19", where, "a code is not there");
                text.emplace_back(right && x >= 0, right && x >= 0 ? categories[x] : "");
            }
        } else if (kind == "string") {
            auto values = strings(o->at("strings"));
            for (int64_t c = 0; c < n; c++) {
                if (missing[c] && !values[c].empty()) tell("CEL-16", where, "a missing text is not empty");
                text.emplace_back(!missing[c], values[c]);
            }
        } else {
            Values v = s_.all(o->at("values"), tell_);
            for (int64_t c = 0; c < n; c++) {
                if (missing[c] && v.d(c) != 0) tell("CEL-16", where, "a missing value is not 0");
                if (kind == "boolean" && (v.i(c) < 0 || v.i(c) > 1)) tell("CEL-18", where, "a boolean is not 0 or 1");
                std::string value = kind == "float"       ? float_text(v.d(c))
                                    : kind == "boolean"   ? (v.i(c) ? "True" : "False")
                                    : v.dtype == "uint64" ? std::to_string((uint64_t)v.i(c))
                                                          : std::to_string(v.i(c));
                text.emplace_back(!missing[c] && !std::isnan(v.d(c)), value);
            }
        }
    }
}

void DataCheck::order(const Json& p, const std::string& w) {
    int64_t n = integer(p, "n_cells"), start = integer(p, "start");
    std::string kind = p.at("order").at("kind").text;
    uint64_t seed = (uint64_t)m_.at("seed").integer();
    auto by = p.at("order").find("by");
    std::vector<int64_t> last;
    uint64_t last_key = 0;
    std::pair<int64_t, int64_t> last_place;
    for (int64_t c = start; c < start + n; c++) {
        std::vector<int64_t> strata;
        for (size_t k = 0; by && k < by->items.size(); k++) strata.push_back(label_codes_[by->items[k].text][c]);
        if (kind == "stratified") strata.push_back(split_[c]);
        std::string digest = sources_[source_[c]].record.at("sha256").text;
        uint32_t j = 0;
        for (int b = 3; b >= 0; b--) j = j << 8 | (uint32_t)std::stoul(digest.substr(2 * b, 2), nullptr, 16);
        uint64_t key = kind == "source" ? 0 : u64(philox(seed, 9, (uint64_t)source_row_[c], j));
        std::pair<int64_t, int64_t> place(source_[c], source_row_[c]);
        if (c > start) {
            const char* broken = strata < last                           ? "ORD-4"
                                 : strata > last                         ? nullptr
                                 : key < last_key                        ? (kind == "stratified" ? "ORD-4" : "ORD-3")
                                 : key == last_key && place < last_place ? (kind == "source" ? "ORD-1" : "ORD-5")
                                                                         : nullptr;
            if (broken) return tell(broken, w, "row " + std::to_string(c) + " is not in the order " + kind);
        }
        last = strata, last_key = key, last_place = place;
    }
}

void DataCheck::over_all_parts() {
    size_t n = source_.size();
    if (found_) return;
    std::set<std::pair<int64_t, int64_t>> seen;
    std::map<int64_t, int64_t> of_source;
    for (size_t c = 0; c < n; c++) {
        if (!seen.emplace(source_[c], source_row_[c]).second)
            tell("CEL-6", "row " + std::to_string(c), "its source_row is another cell's");
        of_source[source_[c]]++;
    }
    for (size_t s = 0; s < sources_.size(); s++)
        if (of_source[s] != sources_[s].n_cells) tell("SRC-11", "source " + std::to_string(s), "n_cells is another");
    for (auto& l : m_.at("labels").items) {
        const std::string& name = l.at("name").text;
        auto counts = ints(l.at("counts"));
        std::vector<int64_t> cells(counts.size());
        for (int64_t x : label_codes_[name])
            if (x >= 0) cells[x]++;
        if (cells != counts) tell("LAB-4", "label " + name, "counts are not those of the cells");
        auto o = l.find("ontology");
        if (!o) continue;
        auto terms = ints(o->at("category_terms")), closure = ints(o->at("closure")),
             offsets = ints(o->at("closure_offsets")), wanted = ints(o->at("counts"));
        std::vector<int64_t> below(wanted.size());
        for (size_t c = 0; c < terms.size(); c++)
            for (int64_t k = terms[c] < 0 ? 0 : offsets[terms[c]]; terms[c] >= 0 && k < offsets[terms[c] + 1]; k++)
                below[closure[k]] += cells[c];
        if (below != wanted) tell("LAB-15", "label " + name, "counts of terms are not those of the cells");
    }
    splits();
}

void DataCheck::splits() {
    auto splits = m_.find("splits");
    if (!splits) return;
    std::vector<int64_t> cells(splits->at("names").items.size()), wanted;
    for (int64_t x : split_)
        if (x >= 0) cells[x]++;
    for (auto& v : splits->at("counts").items) wanted.push_back(v.integer());
    if (cells != wanted) tell("SPL-4", "splits", "counts are not those of the cells");
    auto shares = splits->find("shares");
    if (!shares) return;
    // SPL-7: f is a decimal number of at most 17 digits; 2^64 times the sum fits 128 bits at 19 decimals.
    std::vector<u128> limits;
    u128 sum = 0;
    const u128 unit = (u128)10000000000000000000ull;
    for (auto& v : shares->items) {
        char text[40];
        for (int digits = 1; digits <= 17; digits++) {
            std::snprintf(text, sizeof text, "%.*e", digits - 1, v.number());
            if (std::strtod(text, nullptr) == v.number()) break;
        }
        std::string digits;
        for (char* c = text; *c && *c != 'e'; c++)
            if (*c != '.') digits += *c;
        int exponent =
            std::atoi(std::string(text).substr(std::string(text).find('e') + 1).c_str()) - (int)digits.size() + 1 + 19;
        if (exponent < 0) return;  // a share with more than 19 decimals: not checked
        u128 x = std::strtoull(digits.c_str(), nullptr, 10);
        while (exponent--) x *= 10;
        sum += x;
        u128 high = sum / unit, low = sum % unit, t = high << 64;
        for (int bit = 63; bit >= 0; bit--) {  // floor(low 2^64 / unit), a bit at a time
            low <<= 1;
            if (low >= unit) low -= unit, t |= (u128)1 << bit;
        }
        limits.push_back(std::min(t, (u128)1 << 64));
    }
    limits.back() = (u128)1 << 64;
    std::vector<int64_t> own(split_.size());
    std::map<std::vector<int64_t>, std::set<int64_t>> splits_of_content;
    for (size_t c = 0; c < split_.size(); c++) {
        uint64_t key = (uint64_t)content_[c];
        if (!splits->at("by").items.empty()) {
            std::string bytes;
            for (auto& name : splits->at("by").items)
                if (!group_value(name.text, c, bytes)) return;
            auto digest = Sha256().add(bytes).bytes();
            std::memcpy(&key, digest.data(), 8);
        }
        uint64_t u = u64(philox((uint64_t)splits->at("seed").integer(), 10, key, 0));
        while (u >= limits[own[c]]) own[c]++;
        if (split_[c] >= 0) splits_of_content[{content_[c], total_[c], n_genes_[c]}].insert(split_[c]);
    }
    for (size_t c = 0; c < split_.size(); c++) {
        if (split_[c] == own[c]) continue;
        auto at = splits_of_content.find({content_[c], total_[c], n_genes_[c]});
        // SPL-11 binds writers: of a store it can only be seen that a cell of another split holds the same counts.
        bool copy = split_[c] == -1 && n_genes_[c] != 0 && at != splits_of_content.end() &&
                    (at->second.size() > 1 || !at->second.count(own[c]));
        if (!copy) tell("SPL-10", "row " + std::to_string(c), "is not in the split of its group");
    }
}

// Appends the value of a name of `by` to the bytes of a group's key (SPL-8, SPL-12). False where the store does not
// show it: in a store of several parts a column of numbers can have been of another kind.
bool DataCheck::group_value(const std::string& name, size_t c, std::string& bytes) {
    bool there = false;
    std::string text;
    std::string label = categories_.count(name) ? name : "";
    const Json* column = nullptr;
    for (auto& o : m_.at("obs").items)
        if (o.at("name").text == name) column = &o;
    if (label.empty() && column && column->find("label")) label = column->at("label").text;
    if (name == "total_counts" || name == "n_genes") {
        there = true, text = std::to_string((name == "n_genes" ? n_genes_ : total_)[c]);
        if (text == "-3") return false;
    } else if (!label.empty()) {
        int64_t code = label_codes_[label][c];
        there = code >= 0;
        if (there) text = categories_[label][code];
    } else if (column) {
        bool is_text = column->at("kind").text == "categorical" || column->at("kind").text == "string";
        if (!is_text && m_.at("parts").items.size() > 1) return false;
        std::tie(there, text) = text_[name][c];
    } else if (name == "source" || name == "study")
        there = true, text = sources_[source_[c]].record.at("name").text;
    else
        return false;
    if (!there) return bytes += '\0', true;
    uint64_t size = text.size();
    bytes += '\1';
    bytes.append(reinterpret_cast<const char*>(&size), 8);
    bytes += text;
    return true;
}

void check_data(const Store& store, const Tell& tell) { DataCheck(store, tell).check(); }
