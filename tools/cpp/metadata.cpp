// Level 1: what the root zarr.json says of itself.
#include <algorithm>
#include <sstream>

#include "store.hpp"

static void add_strings(std::vector<ArrayPlace>& out, const Json& s, const std::string& where) {
    out.push_back({&s.at("bytes"), where + "/bytes", 'f'});
    out.push_back({&s.at("offsets"), where + "/offsets", 'i'});
}

std::vector<ArrayPlace> arrays_of(const Json& m) {
    std::vector<ArrayPlace> out;
    auto add = [&](const Json& o, const std::string& where, const char* names, char role) {
        std::istringstream in(names);
        for (std::string n; in >> n;)
            if (auto a = o.find(n))
                a->find("bytes") ? add_strings(out, *a, where + "/" + n) : out.push_back({a, where + "/" + n, role});
    };
    auto number = [](size_t k) { return std::to_string(k); };
    add(m.at("genes"), "genes", "id symbol biotype taxon by_id", 'i');
    add(m.at("genes"), "genes", "resolved", 'f');
    for (size_t k = 0; k < m.at("labels").items.size(); k++) {
        const Json& l = m.at("labels").items[k];
        add(l, "labels/" + number(k), "categories counts", 'i');
        if (auto o = l.find("ontology"))
            add(*o, "labels/" + number(k) + "/ontology", "id name edges closure closure_offsets counts category_terms",
                'i');
    }
    std::map<std::string, std::string> kinds;
    for (size_t k = 0; k < m.at("obs").items.size(); k++) {
        const Json& c = m.at("obs").items[k];
        kinds[c.at("name").text] = c.at("kind").text;
        add(c, "obs/" + number(k), "categories", 'i');
    }
    for (size_t k = 0; k < m.at("parts").items.size(); k++) {
        const Json& p = m.at("parts").items[k];
        std::string w = "parts/" + number(k);
        add(p, w, "entries", 'c');
        add(p, w, "shard_digests", 'f');
        add(p, w, "shard_rows index content barcode", 'i');
        for (auto& [n, place] : p.at("labels").members) add(place, w + "/labels/" + n, "array", 'i');
        if (auto s = p.find("split")) add(*s, w + "/split", "array", 'i');
        for (auto& [n, o] : p.at("obs").members) {
            add(o, w + "/obs/" + n, "values", kinds[n] == "boolean" ? 'f' : 'o');
            add(o, w + "/obs/" + n, "strings codes", 'i');
            add(o, w + "/obs/" + n, "missing", 'f');
        }
        add(p.at("sources"), w + "/sources", "records stats var_names var_offsets var_gene", 'i');
        add(p.at("sources"), w + "/sources", "measured", 'f');
    }
    for (size_t k = 0; k < m.at("tables").items.size(); k++)
        add(m.at("tables").items[k], "tables/" + number(k),
            "codes counts masses threshold alias offsets run_start run_length rows", 'i');
    if (auto near = m.find("neighbours"))
        for (size_t k = 0; k < near->items.size(); k++) {
            add(near->items[k], "neighbours/" + number(k), "rows", 'i');
            add(near->items[k], "neighbours/" + number(k), "weights", 'w');
        }
    return out;
}

// The fill value has to be one that a value of the type can be, and that the table of ZAR-19 allows.
static bool fill_fits(const Array& a, char role) {
    double v = a.fill.number();
    if (role == 'c') return v == 65535;
    if (role == 'f') return v == 255;
    if (role == 'i') return v == -2;
    if (role == 'w') return true;  // NBR-3
    if (a.dtype == "float64") return true;
    if (a.dtype == "float32") return std::fabs(v) <= 3.4028234663852886e38 && (double)(float)v == v;
    if (!a.fill.whole()) return false;
    bool is_unsigned = a.dtype[0] == 'u';
    int bits = 8 * a.item();
    if (v < (is_unsigned ? 0 : -std::ldexp(1, bits - 1)) || v >= std::ldexp(1, is_unsigned ? bits : bits - 1))
        return false;
    return bits < 64 ||
           (is_unsigned ? std::strtoull(a.fill.text.c_str(), nullptr, 10) % 4096 == 0 : a.fill.integer() % 4096 == 0);
}

std::string cells_digest(const Json& m, int64_t n_rows) {
    std::string lines;
    int64_t end = 0;
    for (auto& p : m.at("parts").items) {
        if (p.at("start").integer() >= n_rows) break;
        lines += p.at("index").at("sha256").text + "\t" + p.at("content").at("sha256").text + "\n";
        end = p.at("start").integer() + p.at("n_cells").integer();
    }
    return end == n_rows ? sha256_hex(lines) : "";
}

namespace {
// Data types and shapes: a short notation for what the chapters say of each array.
struct Shapes {
    const Tell& tell;
    bool is(const Json& array, const std::string& where, const char* requirement, const std::string& types,
            std::vector<int64_t> shape) {
        Array a(array);
        if (("|" + types + "|").find("|" + a.dtype + "|") == std::string::npos)
            return say(requirement, where, "expected " + types + ", found " + a.dtype);
        if (a.shape.size() != shape.size()) return say(requirement, where, "has another number of axes");
        for (size_t k = 0; k < shape.size(); k++)
            if (shape[k] >= 0 && a.shape[k] != shape[k])
                return say(requirement, where,
                           "expected the extent " + std::to_string(shape[k]) + ", found " + std::to_string(a.shape[k]));
        return true;
    }
    int64_t strings(const Json& s, const std::string& where, const char* requirement, int64_t n) {
        bool ok = is(s.at("bytes"), where + "/bytes", "ZAR-22", "uint8", {-1}) &
                  is(s.at("offsets"), where + "/offsets", "ZAR-22", "int64", {-1});
        if (!ok) return -1;
        int64_t found = Array(s.at("offsets")).last() - 1;
        if (found < 0)
            say("ZAR-22", where, "has no offsets");
        else if (n >= 0 && found != n)
            say(requirement, where, "expected " + std::to_string(n) + " strings, found " + std::to_string(found));
        return found;
    }
    bool say(const char* requirement, const std::string& where, const std::string& message) {
        return tell(requirement, where, message), false;
    }
};

int64_t integer(const Json& o, const char* name) { return o.at(name).integer(); }

void check_features(const Json& m, const Tell& tell) {
    std::set<std::string> seen;
    for (auto member : {"required_features", "optional_features"})
        for (auto& f : m.at(member).items) {
            if (f.text.empty() ||
                f.text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
                tell("VER-7", member, f.text + " is no name of a feature");
            if (!seen.insert(f.text).second) tell("VER-7", member, f.text + " is named twice");
            if (std::string(member) == "required_features" && f.text != "parts") {
                tell("VER-10", member, f.text + " is no feature that is known");
                if (f.text.rfind("x-", 0) == 0) tell("VER-4", member, f.text + " is not known: it cannot be checked");
            }
        }
    auto named = [&](const char* member, const char* feature) {
        for (auto& f : m.at(member).items)
            if (f.text == feature) return true;
        return false;
    };
    if (named("required_features", "parts") != (m.at("parts").items.size() > 1))
        tell("PRT-4", "required_features", "parts does not fit the number of parts");
    if (named("optional_features", "tables") != !m.at("tables").items.empty())
        tell("TAB-13", "optional_features", "tables does not fit the tables");
    auto near = m.find("neighbours");
    if (near && near->items.empty()) tell("NBR-9", "neighbours", "is there and empty");
    if (named("optional_features", "neighbours") != (near && !near->items.empty()))
        tell("NBR-9", "optional_features", "neighbours does not fit the tables");
}

void check_genes_and_labels(const Json& m, Shapes s) {
    const Json& g = m.at("genes");
    int64_t n = integer(g, "n"), sum = 0, before = INT64_MIN;
    if (n >= (int64_t)1 << 31) s.say("GEN-1", "genes/n", "is 2^31 or more");
    for (auto name : {"id", "symbol", "biotype"}) s.strings(g.at(name), std::string("genes/") + name, "GEN-1", n);
    s.is(g.at("taxon"), "genes/taxon", "GEN-1", "int32", {n});
    s.is(g.at("by_id"), "genes/by_id", "GEN-1", "int32", {n});
    s.is(g.at("resolved"), "genes/resolved", "GEN-1", "uint8", {n});
    for (auto& o : g.at("organisms").items) {
        sum += integer(o, "n_genes");
        if (integer(o, "taxon") <= before) s.say("GEN-8", "genes/organisms", "taxa do not ascend");
        before = integer(o, "taxon");
    }
    if (sum != n) s.say("GEN-8", "genes/organisms", "their n_genes do not sum to n");
    std::set<std::string> names;
    for (auto& l : m.at("labels").items) {
        std::string w = "labels/" + l.at("name").text;
        if (!names.insert(l.at("name").text).second) s.say("LAB-1", w, "is there twice");
        int64_t c = s.strings(l.at("categories"), w + "/categories", "LAB-3", -1);
        s.is(l.at("counts"), w + "/counts", "LAB-3", "int64", {c});
        if (auto o = l.find("ontology")) {
            int64_t t = integer(*o, "n_terms");
            w += "/ontology";
            s.strings(o->at("id"), w + "/id", "LAB-10", t);
            s.strings(o->at("name"), w + "/name", "LAB-10", t);
            s.is(o->at("edges"), w + "/edges", "LAB-10", "int32", {2, -1});
            s.is(o->at("closure"), w + "/closure", "LAB-10", "int32", {-1});
            s.is(o->at("closure_offsets"), w + "/closure_offsets", "LAB-10", "int64", {t + 1});
            s.is(o->at("counts"), w + "/counts", "LAB-10", "int64", {t});
            s.is(o->at("category_terms"), w + "/category_terms", "LAB-10", "int32", {c});
        }
    }
    std::map<std::string, std::set<std::string>> types = {
        {"integer", {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}},
        {"float", {"float16", "float32", "float64"}},
        {"boolean", {"bool"}},
        {"string", {"string"}}};
    types["categorical"] = {"string"};
    for (auto& [k, t] : types)
        if (k != "categorical") types["categorical"].insert(t.begin(), t.end());
    std::set<std::string> columns;
    for (auto& c : m.at("obs").items) {
        std::string w = "obs/" + c.at("name").text, kind = c.at("kind").text;
        if (!columns.insert(c.at("name").text).second) s.say("CEL-13", w, "is there twice");
        if (!types[kind].count(c.at("dtype").text)) s.say("MAN-1", w + "/dtype", "is no type of such a column");
        bool categories = c.find("categories"), label = c.find("label");
        if (kind == "categorical" ? categories == label : categories || label)
            s.say("CEL-20", w, "does not have what its kind wants of categories and label");
        if (label && !names.count(c.at("label").text)) s.say("CEL-20", w, "is of a label that is not there");
        if (categories) s.strings(c.at("categories"), w + "/categories", "ZAR-22", -1);
    }
}

void check_part(const Json& m, const Json& p, const std::string& w, Shapes s) {
    const Json &src = p.at("sources"), &fields = p.at("fields");
    int64_t n = integer(p, "n_cells"), S = integer(src, "n"), G = integer(src, "n_genes"), F = fields.items.size();
    if (G > integer(m.at("genes"), "n")) s.say("PRT-9", w + "/sources/n_genes", "is more than the store has");
    Array e(p.at("entries")), index(p.at("index"));
    int64_t shards = -1;
    if (s.is(p.at("entries"), w + "/entries", "PRT-8", "uint16", {2, -1})) {
        shards = e.shape[1] / e.shard[1];
        if (e.shape[1] % e.shard[1] || e.chunk[0] != 2 || e.shard[0] != 2 || e.shard[1] >= (int64_t)1 << 31)
            s.say("CNT-12", w + "/entries", "its extents are not those of counts");
    }
    s.is(p.at("shard_digests"), w + "/shard_digests", "PRT-8", "uint8", {shards, 64});
    s.is(p.at("shard_rows"), w + "/shard_rows", "PRT-8", "int64", {shards < 0 ? -1 : shards + 1});
    const std::vector<std::string> five = {"row_end", "source", "source_row", "total_counts", "n_genes"};
    std::set<std::string> seen;
    for (int64_t k = 0; k < F; k++)
        if (!seen.insert(fields.items[k].text).second) s.say("CEL-1", w + "/fields", "names a field twice");
    for (int64_t k = 0; k < 5; k++)
        if (k >= F || fields.items[k].text != five[k]) s.say("CEL-1", w + "/fields", "does not begin with " + five[k]);
    if (s.is(p.at("index"), w + "/index", "PRT-8", "int32", {-1, n})) {
        if (index.shape[0] != F) s.say("CEL-1", w + "/index", "has another number of rows than there are fields");
        if (index.chunk[0] != index.shape[0] || index.shard[0] != index.shape[0])
            s.say("CEL-2", w + "/index", "a record is not in one chunk");
    }
    s.is(p.at("content"), w + "/content", "PRT-8", "int64", {n});
    s.strings(p.at("barcode"), w + "/barcode", "PRT-8", n);
    std::set<int64_t> used;
    auto place = [&](const Json& where, const std::string& at) {
        if (auto f = where.find("field")) {
            if (f->integer() >= F || !used.insert(f->integer()).second)
                s.say("CEL-4", at, "its field is not there or used twice");
        } else
            s.is(where.at("array"), at, "PRT-8", "int32", {n});
    };
    if (auto split = p.find("split")) place(*split, w + "/split");
    if ((p.find("split") != nullptr) != (m.find("splits") != nullptr))
        s.say("SPL-1", w + "/split", "does not fit the splits of the store");
    std::map<std::string, const Json*> columns;
    std::set<std::string> labels;
    for (auto& l : m.at("labels").items) labels.insert(l.at("name").text);
    for (auto& c : m.at("obs").items) columns[c.at("name").text] = &c;
    for (auto& [name, where] : p.at("labels").members) {
        if (!labels.count(name)) s.say("LAB-5", w + "/labels/" + name, "is no label of the store");
        place(where, w + "/labels/" + name);
    }
    const std::map<std::string, std::string> types = {{"integer", "int32|int64|uint32|uint64"},
                                                      {"float", "float32|float64"},
                                                      {"boolean", "uint8"},
                                                      {"categorical", "int32"}};
    for (auto& [name, o] : p.at("obs").members) {
        std::string at = w + "/obs/" + name;
        if (!columns.count(name)) {
            s.say("CEL-13", at, "is no column of the store");
            continue;
        }
        const Json& c = *columns[name];
        std::string kind = c.at("kind").text, member = kind == "string"        ? "strings"
                                                       : kind == "categorical" ? "codes"
                                                                               : "values";
        for (auto other : {"values", "strings", "codes"})
            if ((o.find(other) != nullptr) != (other == member && !c.find("label")))
                s.say("CEL-15", at, std::string(other) + " does not fit its kind");
        if (o.find("missing") && kind == "categorical") s.say("CEL-15", at, "missing beside codes");
        if (auto v = o.find(member)) {
            if (kind == "string")
                s.strings(*v, at, "PRT-8", n);
            else if (s.is(*v, at, "CEL-15", types.at(kind), Array(*v).shape))
                s.is(*v, at, "PRT-8", types.at(kind), {n});
        }
        if (auto v = o.find("missing"))
            if (s.is(*v, at, "CEL-15", "uint8", Array(*v).shape)) s.is(*v, at, "PRT-8", "uint8", {n});
    }
    s.strings(src.at("records"), w + "/sources/records", "PRT-8", S);
    s.is(src.at("measured"), w + "/sources/measured", "PRT-8", "uint8", {S, G});
    s.is(src.at("stats"), w + "/sources/stats", "PRT-8", "int64", {4, S, G});
    s.is(src.at("var_offsets"), w + "/sources/var_offsets", "PRT-8", "int64", {S + 1});
    s.is(src.at("var_gene"), w + "/sources/var_gene", "PRT-8", "int32", {-1});
    s.strings(src.at("var_names"), w + "/sources/var_names", "PRT-8", Array(src.at("var_gene")).last());
    auto by = p.at("order").find("by");
    for (size_t k = 0; by && k < by->items.size(); k++)
        if (p.at("order").at("kind").text != "stratified" || !p.at("labels").find(by->items[k].text))
            s.say("ORD-6", w + "/order", "by does not fit");
}

void check_tables_of(const Json& m, Shapes s) {
    std::set<std::string> names;
    for (auto& t : m.at("tables").items) {
        std::string w = "tables/" + t.at("name").text;
        if (!names.insert(t.at("name").text).second) s.say("TAB-6", w, "is there twice");
        int64_t K = integer(t, "n_strata"), log = 0;
        while (((int64_t)1 << log) < K) log++;
        if (K < 1 || K > 1 << 30 || integer(t, "bits") != 32 + log) {
            s.say("TAB-6", w, "n_strata and bits do not fit");
            continue;
        }
        s.is(t.at("codes"), w + "/codes", "TAB-6", "int32", {(int64_t)t.at("keys").items.size(), K});
        for (auto n : {"counts", "masses"}) s.is(t.at(n), w + "/" + n, "TAB-6", "int64", {K});
        s.is(t.at("threshold"), w + "/threshold", "TAB-6", "int64", {(int64_t)1 << log});
        s.is(t.at("alias"), w + "/alias", "TAB-6", "int32", {(int64_t)1 << log});
        s.is(t.at("offsets"), w + "/offsets", "TAB-6", "int64", {K + 1});
        auto start = t.find("run_start"), length = t.find("run_length"), rows = t.find("rows");
        if ((start && length && !rows) == (!start && !length && rows)) {
            s.say("TAB-6", w, "has not either runs or rows");
            continue;
        }
        if (rows)
            s.is(*rows, w + "/rows", "TAB-6", "int32|int64", {-1});
        else if (s.is(*start, w + "/run_start", "TAB-6", "int64", {-1}))
            s.is(*length, w + "/run_length", "TAB-6", "int64", {Array(*start).last()});
    }
    names.clear();
    auto near = m.find("neighbours");
    for (size_t k = 0; near && k < near->items.size(); k++) {
        const Json& t = near->items[k];
        std::string name = t.at("name").text, w = "neighbours/" + name;
        int64_t R = integer(t, "n_rows"), K = integer(t, "k");
        if (!names.insert(name).second || name.size() > 64 || !is_name(name))
            s.say("NBR-1", w, "its name is no name, or is there twice");
        std::string digest = cells_digest(m, R);
        if (digest.empty())
            s.say("NBR-1", w, "no part ends at n_rows");
        else if (digest != t.at("cells").text)
            s.say("NBR-6", w, "cells are not those of the store");
        if ((t.find("weight") != nullptr) != (t.find("weights") != nullptr))
            s.say("NBR-2", w, "weight and weights do not go together");
        for (auto member : {"rows", "weights"})
            if (auto a = t.find(member)) {
                bool rows = std::string(member) == "rows";
                Array v(*a);
                if (s.is(*a, w + "/" + member, "NBR-2",
                         !rows                   ? "float32"
                         : R >= (int64_t)1 << 31 ? "int64"
                                                 : "int32",
                         {K, R}) &&
                    (v.chunk[0] != K || v.shard[0] != K))
                    s.say("NBR-2", w + "/" + member, "the neighbours of a cell are not in one chunk");
                if (!rows && v.fill.number() != -3.4028234663852886e38)
                    s.say("NBR-3", w + "/weights", "another fill value");
            }
    }
}

void check_splits(const Json& m, Shapes s) {
    auto splits = m.find("splits");
    if (!splits) return;
    std::set<std::string> names;
    size_t n = splits->at("names").items.size();
    for (auto& v : splits->at("names").items)
        if (v.text.empty() || !names.insert(v.text).second) s.say("SPL-2", "splits/names", "empty or there twice");
    if (splits->at("counts").items.size() != n) s.say("SPL-2", "splits/counts", "not one a name");
    if (auto shares = splits->find("shares")) {
        double sum = 0;
        if (shares->items.size() != n) s.say("SPL-2", "splits/shares", "not one a name");
        for (auto& v : shares->items) {
            sum += v.number();
            if (!(v.number() > 0)) s.say("SPL-6", "splits/shares", "a share is not above 0");
        }
        if (std::fabs(sum - 1) > 1e-9) s.say("SPL-6", "splits/shares", "do not sum to 1");
    }
}
}  // namespace

std::vector<Finding> check_metadata(Store& store) {
    std::vector<Finding> out;
    Tell tell = [&](auto& r, auto& w, auto& m) { out.push_back({r, w, m}); };
    if (!read_file(store.root + "/zarr.json", store.text)) return tell("ZAR-1", "zarr.json", "is not there"), out;
    JsonParser parser(store.text);
    try {
        store.document = parser.parse();
    } catch (const JsonError& e) {
        return tell("CNV-1", "zarr.json", e.what()), out;
    }
    const Json& d = store.document;
    auto member = [&](const char* n) { return d.find(n); };
    const Json* m = member("attributes") ? member("attributes")->find("scformat") : nullptr;
    if (!m || m->kind != Json::Object) return tell("ZAR-1", "zarr.json", "has no manifest"), out;
    auto version = m->find("version");  // before anything else of the manifest (VER-4)
    if (version && (version->kind != Json::String || version->text != "0.1"))
        return tell("VER-1", "version", "is not 0.1"), out;
    for (auto& t : parser.inexact)
        tell("CNV-2", "zarr.json", "a number is not exact as binary64, or not finite: " + t.substr(0, 40));
    if (!member("zarr_format") || member("zarr_format")->text != "3" || !member("node_type") ||
        member("node_type")->text != "group")
        tell("ZAR-1", "zarr.json", "is no Zarr v3 group");
    if (member("consolidated_metadata")) tell("ZAR-2", "zarr.json", "has consolidated metadata");
    size_t before = out.size();
    check_type(*m, "Manifest", "", "MAN-1", tell);
    if (auto groups = m->find("groups"))
        for (auto& [path, digest] : groups->members)
            if (!is_path(path)) tell("ZAR-4", "groups", path + " is no path of a store");
    auto digest = m->find("sha256");
    if (digest && is_digest(*digest)) {
        std::string text = store.text;
        size_t at = text.find(digest->text);
        if (at == std::string::npos || text.find(digest->text, at + 1) != std::string::npos)
            tell("INT-4", "sha256", "does not occur exactly once");
        else if (sha256_hex(text.replace(at, 64, 64, '0')) != digest->text)
            tell("INT-4", "sha256", "is not that of the root");
    }
    store.manifest = m;
    if (out.size() != before &&
        std::any_of(out.begin() + before, out.end(), [](auto& f) { return f.requirement != "INT-4"; }))
        return out;

    auto arrays = arrays_of(*m);
    std::set<std::string> paths;
    bool extents = true;
    for (auto& a : arrays) {
        Array v(*a.array);
        if (!paths.insert(v.path).second) tell("ZAR-3", a.where, v.path + " is the path of two arrays");
        if (v.chunk.size() != v.shape.size() || v.shard.size() != v.shape.size())
            extents = false, tell("MAN-5", a.where, "shape, chunk and shard are not of one length");
        for (size_t k = 0; k < std::min(v.chunk.size(), v.shard.size()); k++)
            if (v.shard[k] % v.chunk[k]) tell("ZAR-13", a.where, "a shard is not a whole number of chunks");
        if (!fill_fits(v, a.role)) tell("ZAR-19", a.where, "the fill value is not one that it may have");
    }
    for (auto& p : paths)
        for (size_t e = p.find('/'); e != std::string::npos; e = p.find('/', e + 1))
            if (paths.count(p.substr(0, e))) tell("ZAR-3", p, "lies within another array");
    if (!extents) return out;

    Shapes s{tell};
    check_features(*m, tell);
    check_genes_and_labels(*m, s);
    check_splits(*m, s);
    int64_t cells = 0, entries = 0, sources = 0;
    for (size_t k = 0; k < m->at("parts").items.size(); k++) {
        const Json& p = m->at("parts").items[k];
        std::string w = "parts/" + std::to_string(k);
        if (integer(p, "start") != cells) tell("PRT-1", w, "does not start where the one before it ends");
        if (integer(p.at("sources"), "first") != sources) tell("PRT-5", w, "the numbers of its sources do not follow");
        cells += integer(p, "n_cells"), entries += integer(p, "n_entries"), sources += integer(p.at("sources"), "n");
        check_part(*m, p, w, s);
    }
    if (cells != integer(*m, "n_cells") || entries != integer(*m, "n_entries"))
        tell("PRT-3", "n_cells", "n_cells or n_entries is not the sum over the parts");
    check_tables_of(*m, s);
    return out;
}

Store open_store(const std::string& root) {
    Store store;
    store.root = root;
    for (auto& f : check_metadata(store)) throw Refusal(f.requirement + " " + f.where + ": " + f.message);
    for (auto& f : store.manifest->at("required_features").items)
        if (f.text != "parts") throw Refusal("VER-4: the required feature " + f.text + " is not known", 4);
    return store;
}
