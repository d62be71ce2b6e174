// Level 3: every byte of data, read and checked. Here what all parts share; data.cpp has what a part holds.
#pragma once
#include <algorithm>

#include "store.hpp"

inline int64_t integer(const Json& o, const char* name) { return o.at(name).integer(); }

struct Source {
    Json record;
    bool known = false;
    int64_t left_out = 0, merged = 0, n_rows = 0, n_cells = 0;
};

class DataCheck {
  public:
    DataCheck(const Store& s, const Tell& tell)
        : s_(s),
          m_(*s.manifest),
          tell_([this, &tell](auto& r, auto& w, auto& m) { found_ |= !goes_on(r), tell(r, w, m); }) {}

    void check() {
        digests();
        for (auto& a : arrays_of(m_)) read_whole(a);
        if (found_) return;  // what cannot be read says nothing
        genes();
        sources();
        if (found_) return;
        labels_of_store();
        if (found_) return;
        for (auto& p : m_.at("parts").items) part(p, "parts/" + std::to_string(&p - &m_.at("parts").items[0]));
        over_all_parts();
    }

  private:
    const Store& s_;
    const Json& m_;
    bool found_ = false;  // something that the checks after it rely on

    // What is wrong in these ways can still be read and checked further (CNF-1).
    static bool goes_on(const std::string& requirement) {
        static const std::set<std::string> all = {"ZAR-17", "ZAR-18", "CNT-3",  "CNT-8",  "CNT-13", "INT-2",  "CEL-7",
                                                  "CEL-10", "CEL-16", "CEL-18", "SRC-7",  "SRC-8",  "SRC-11", "ORD-1",
                                                  "ORD-3",  "ORD-4",  "ORD-5",  "GEN-12", "GEN-13", "GEN-8",  "MAN-7"};
        return all.count(requirement) != 0;
    }
    Tell tell_;
    std::vector<int64_t> taxon_;
    std::vector<std::string> gene_;
    std::vector<int64_t> resolved_;
    std::vector<uint64_t> key_;
    std::vector<Source> sources_;
    std::map<std::string, std::vector<std::string>> categories_;             // of labels
    std::map<std::string, std::vector<std::string>> column_categories_;      // of obs columns
    std::map<std::string, std::vector<int64_t>> label_codes_;                // over all cells
    std::map<std::string, std::vector<std::pair<bool, std::string>>> text_;  // of obs columns of the part: there, text
    std::vector<int64_t> split_, total_, n_genes_, content_, source_, source_row_;

    void tell(const char* requirement, const std::string& where, const std::string& message) {
        tell_(requirement, where, message);
    }
    std::vector<int64_t> ints(const Json& array) {
        Values v = s_.all(array, tell_);
        std::vector<int64_t> out(v.n);
        for (int64_t k = 0; k < v.n; k++) out[k] = v.i(k);
        return out;
    }
    std::vector<std::string> strings(const Json& v) { return s_.strings(v, tell_); }

    void digests() {
        for (auto& a : arrays_of(m_)) {
            Array v(*a.array);
            std::string lines, text;
            auto add = [&](const std::string& name) {
                if (read_file(s_.root + "/" + v.path + "/" + name, text))
                    lines += sha256_hex(text) + "  " + name + "\n";
            };
            add("zarr.json");
            std::vector<std::string> of_shards;
            for (auto& f : v.files()) add(f), of_shards.push_back(sha256_hex(text));
            if (sha256_hex(lines) != a.array->at("sha256").text) tell("INT-2", v.path, "has another digest");
            if (a.role == 'c') shard_digests(a, of_shards);
        }
    }
    void shard_digests(const ArrayPlace& a, const std::vector<std::string>& wanted) {
        for (auto& p : m_.at("parts").items)
            if (&p.at("entries") == a.array) {
                Values v = s_.read(Array(p.at("shard_digests")), 0, 64, [](auto&, auto&, auto&) {});
                for (size_t k = 0; k < wanted.size(); k++)
                    if (v.bytes.compare(64 * k, 64, wanted[k]) != 0)
                        tell("CNT-13", a.where, "shard " + std::to_string(k) + " has another digest");
            }
    }
    // Reads every array once for what its bytes say by themselves; the chunks of a tail may be absent.
    void read_whole(const ArrayPlace& a) {
        Array v(*a.array);
        s_.read(v, 0, v.last(), tell_, a.role == 'c', a.role == 'c');
    }

    void genes() {
        const Json& g = m_.at("genes");
        gene_ = strings(g.at("id")), taxon_ = ints(g.at("taxon")), resolved_ = ints(g.at("resolved"));
        auto symbol = strings(g.at("symbol")), biotype = strings(g.at("biotype"));
        auto by_id = ints(g.at("by_id"));
        if (found_) return;
        std::set<std::pair<int64_t, std::string>> seen;
        std::vector<std::string> lines;
        std::map<int64_t, int64_t> of_taxon;
        for (size_t k = 0; k < gene_.size(); k++) {
            std::string where = "gene " + std::to_string(k), line = std::to_string(taxon_[k]) + "\t" + gene_[k];
            bool odd = gene_[k].empty();
            for (unsigned char c : gene_[k]) odd |= c < 0x20 || c == 0x7F;
            if (odd || !seen.emplace(taxon_[k], gene_[k]).second)
                tell("GEN-2", where, "its id is empty, has a control character or is there twice");
            if (taxon_[k] < 0) tell("GEN-4", where, "its taxon is negative");
            if (resolved_[k] < 0 || resolved_[k] > 1) tell("GEN-5", where, "resolved is not 0 or 1");
            if (symbol[k].empty()) tell("GEN-6", where, "has no symbol");
            of_taxon[taxon_[k]]++;
            auto digest = Sha256().add(line).bytes();
            uint64_t key;
            std::memcpy(&key, digest.data(), 8);
            key_.push_back(key);
            lines.push_back(line + "\n");
        }
        std::vector<bool> there(gene_.size());
        bool sorted = true;
        for (size_t k = 0; k < by_id.size() && sorted; k++) {
            int64_t x = by_id[k];
            sorted = x >= 0 && x < (int64_t)gene_.size() && !there[x];
            if (sorted) there[x] = true;
            if (sorted && k)
                sorted =
                    std::make_pair(taxon_[by_id[k - 1]], gene_[by_id[k - 1]]) < std::make_pair(taxon_[x], gene_[x]);
        }
        if (!sorted) tell("GEN-7", "genes/by_id", "is not the permutation that sorts the genes");
        std::map<int64_t, int64_t> named;
        for (auto& o : g.at("organisms").items) named[integer(o, "taxon")] = integer(o, "n_genes");
        if (named != of_taxon) tell("GEN-8", "genes/organisms", "are not those of the genes");
        auto joined = [&] {
            Sha256 h;
            for (auto& l : lines) h.add(l);
            return h.hex();
        };
        if (joined() != g.at("index_digest").text) tell("GEN-12", "genes/index_digest", "is another");
        std::sort(lines.begin(), lines.end());
        if (joined() != g.at("set_digest").text) tell("GEN-13", "genes/set_digest", "is another");
    }

    void sources() {
        std::set<std::string> names;
        for (auto& p : m_.at("parts").items)
            for (auto& text : strings(p.at("sources").at("records"))) {
                std::string where = "source " + std::to_string(sources_.size());
                Source source;
                JsonParser parser(text);
                try {
                    source.record = parser.parse();
                } catch (const JsonError& e) {
                    // What is no JSON at all is no JSON object either; CNV-1 is about JSON that is not as it should be.
                    bool twice = std::string(e.what()).find("twice") != std::string::npos;
                    tell(twice ? "CNV-1" : "SRC-1", where, e.what());
                }
                for (auto& t : parser.inexact) tell("CNV-2", where, t + " is not exact");
                if (!found_) check_type(source.record, "SourceRecord", where, "SRC-1", tell_);
                if (!found_) record(source, where, names);
                sources_.push_back(source);
            }
    }
    void record(Source& source, const std::string& where, std::set<std::string>& names) {
        const Json& r = source.record;
        source.known = true;
        source.left_out = integer(r, "n_left_out"), source.merged = integer(r, "n_merged");
        source.n_rows = integer(r, "n_rows"), source.n_cells = integer(r, "n_cells");
        if (source.n_cells > source.n_rows) tell("SRC-11", where, "has more cells than rows");
        if (!names.insert(r.at("name").text).second) tell("SRC-2", where, "its name is another's");
        auto path = r.find("path");
        if (path && path->kind == Json::String && path->text.find_first_of("/\\") != std::string::npos)
            tell("MAN-7", where, "its path has several segments");
        std::set<std::string> columns, seen;
        for (auto& c : m_.at("obs").items) columns.insert(c.at("name").text);
        for (auto& c : r.at("columns").items) {
            const std::string& name = c.at("name").text;
            if (!columns.count(name) || !seen.insert(name).second)
                tell("SRC-4", where, "its column " + name + " is not there, or twice");
            std::set<std::string> values;
            auto categories = c.find("categories");
            for (size_t k = 0; categories && k < categories->items.size(); k++)
                if (!values.insert(categories->items[k].text).second)
                    tell("SRC-4", where, "a category of " + name + " is there twice");
        }
        int64_t before = INT64_MIN;
        for (auto& t : r.at("organisms").items) {
            if (t.integer() <= before) tell("SRC-11", where, "organisms do not ascend");
            before = t.integer();
        }
    }

    void labels_of_store() {
        for (auto& l : m_.at("labels").items) {
            const std::string& name = l.at("name").text;
            std::string where = "label " + name;
            auto& c = categories_[name] = strings(l.at("categories"));
            size_t runs = c.empty() ? 0 : 1;
            for (size_t k = 1; k < c.size(); k++) runs += c[k] <= c[k - 1];
            if (std::set<std::string>(c.begin(), c.end()).size() != c.size())
                tell("LAB-2", where, "a category is there twice");
            else if (runs > m_.at("parts").items.size())
                tell("LAB-2", where, "categories are not sorted");
            if (auto o = l.find("ontology")) ontology(*o, c, where);
        }
        for (auto& column : m_.at("obs").items)
            if (auto v = column.find("categories")) {
                auto& c = column_categories_[column.at("name").text] = strings(*v);
                if (std::set<std::string>(c.begin(), c.end()).size() != c.size())
                    tell("CEL-19", "column " + column.at("name").text, "a category is there twice");
            }
    }

    void ontology(const Json& o, const std::vector<std::string>& categories, const std::string& where) {
        auto id = strings(o.at("id")), name = strings(o.at("name"));
        auto edges = ints(o.at("edges")), closure = ints(o.at("closure")), offsets = ints(o.at("closure_offsets")),
             terms = ints(o.at("category_terms"));
        int64_t t = (int64_t)id.size(), e = (int64_t)edges.size() / 2;
        for (int64_t k = 0; k < t; k++) {
            if (name[k].empty() || (k && id[k] <= id[k - 1]))
                tell("LAB-11", where, "ids are not sorted or not distinct, or a name is empty");
            if (!o.at("releases").find(id[k].substr(0, id[k].find(':'))))
                tell("LAB-17", where, "the release of " + id[k] + " is not given");
        }
        std::vector<std::vector<int64_t>> parents(t);
        bool fits = true;
        for (int64_t k = 0; k < e && fits; k++) {
            int64_t child = edges[k], parent = edges[e + k];
            fits = child >= 0 && child < t && parent >= 0 && parent < t;
            if (fits && k) fits = std::make_pair(edges[k - 1], edges[e + k - 1]) < std::make_pair(child, parent);
            if (fits) parents[child].push_back(parent);
        }
        std::vector<std::set<int64_t>> above(t);
        std::vector<int> state(t, 0);
        std::function<void(int64_t)> climb = [&](int64_t x) {
            state[x] = 1;
            above[x].insert(x);
            for (int64_t p : parents[x]) {
                if (state[p] == 1) fits = false;
                if (!fits) return;
                if (state[p] == 0) climb(p);
                above[x].insert(above[p].begin(), above[p].end());
            }
            state[x] = 2;
        };
        for (int64_t k = 0; k < t && fits; k++)
            if (!state[k]) climb(k);
        if (!fits) tell("LAB-12", where, "edges are not sorted, name a node that is not there or lead back");
        bool closed = offsets[0] == 0 && offsets[t] == (int64_t)closure.size();
        for (int64_t k = 0; k < t; k++)
            closed &= offsets[k] >= 0 && offsets[k] <= offsets[k + 1] && offsets[k + 1] <= (int64_t)closure.size();
        for (int64_t k = 0; k < t && closed && fits; k++)
            closed = std::vector<int64_t>(above[k].begin(), above[k].end()) ==
                     std::vector<int64_t>(closure.begin() + offsets[k], closure.begin() + offsets[k + 1]);
        for (int64_t x : closure) closed &= x >= 0 && x < t;
        if (!closed) tell("LAB-13", where, "the closure is not that of the edges");
        std::set<int64_t> used;
        for (size_t c = 0; c < terms.size(); c++) {
            if (terms[c] < -1 || terms[c] >= t || (terms[c] >= 0 && !used.insert(terms[c]).second))
                tell("LAB-14", where, "the node of a category is not there, or another's");
            else if (terms[c] >= 0 && categories[c] != name[terms[c]] &&
                     categories[c] != name[terms[c]] + " (" + id[terms[c]] + ")")
                tell("LAB-16", where, categories[c] + " is not the name of its term");
        }
    }

    std::vector<int64_t> codes(const Json& place, const Values& index, int64_t n) {
        auto f = place.find("field");
        if (!f) return ints(place.at("array"));
        std::vector<int64_t> out(n);
        for (int64_t c = 0; c < n; c++) out[c] = index.row(f->integer(), c);
        return out;
    }

    void part(const Json& p, const std::string& w);
    void counts(const Json& p, const std::string& w, const Values& index);
    void cell_figures(const Source& source, const Cell& cell, size_t number);
    void columns_of_sources(const Json& p, const std::string& w);
    void obs(const Json& p, const std::string& w);
    void order(const Json& p, const std::string& w);
    void present_chunks(const Array& a, int64_t k, int64_t end, const std::string& where);
    void splits();
    bool group_value(const std::string& name, size_t c, std::string& bytes);
    void over_all_parts();
};
