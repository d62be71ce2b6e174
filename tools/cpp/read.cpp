// describe and read: the store as a whole, and single cells.
#include <algorithm>

#include "store.hpp"

static std::string number_json(double v) {
    if (std::isnan(v)) return "\"NaN\"";
    if (std::isinf(v)) return v > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    char b[40];
    std::snprintf(b, sizeof b, "%.17g", v);
    return b;
}

static std::string ints_json(const Values& v) {
    std::vector<int64_t> all;
    for (int64_t k = 0; k < v.n; k++) all.push_back(v.i(k));
    return list_json(all, [](int64_t x) { return integer_json(x); });
}

static Json record_of(const std::string& text, int64_t source) {
    std::string where = "record of source " + std::to_string(source);
    try {
        Json r = JsonParser(text).parse();
        for (auto name : {"name", "n_cells", "n_left_out"}) {
            auto v = r.find(name);
            if (!v || v->kind != (std::string(name) == "name" ? Json::String : Json::Number))
                throw Refusal("SRC-1 " + where + ": no member " + name);
        }
        return r;
    } catch (const JsonError& e) {
        throw Refusal("CNV-1 " + where + ": " + e.what());
    }
}

std::string describe(const Store& s) {
    const Json& m = *s.manifest;
    Tell tell = refusing();
    auto strings = [&](const Json& v) { return list_json(s.strings(v, tell), quoted); };
    const Json& g = m.at("genes");
    std::string out = "{\"version\":" + quoted(m.at("version").text);
    for (auto n : {"n_cells", "n_entries"}) out += ",\"" + std::string(n) + "\":" + integer_json(m.at(n).integer());
    out += ",\"n_genes\":" + integer_json(g.at("n").integer()) + ",\"genes\":{\"id\":" + strings(g.at("id")) +
           ",\"symbol\":" + strings(g.at("symbol")) + ",\"taxon\":" + ints_json(s.all(g.at("taxon"), tell)) +
           "},\"labels\":{";
    const char* comma = "";
    for (auto& l : m.at("labels").items) {
        out += comma + quoted(l.at("name").text) + ":{\"categories\":" + strings(l.at("categories")) +
               ",\"counts\":" + ints_json(s.all(l.at("counts"), tell)) + ",\"terms\":";
        auto o = l.find("ontology");
        if (o)
            out += "{\"id\":" + strings(o->at("id")) + ",\"name\":" + strings(o->at("name")) +
                   ",\"counts\":" + ints_json(s.all(o->at("counts"), tell)) + "}}";
        else
            out += "null}";
        comma = ",";
    }
    out += "},\"sources\":[";
    comma = "";
    int64_t number = 0;
    for (auto& p : m.at("parts").items)
        for (auto& text : s.strings(p.at("sources").at("records"), tell)) {
            Json r = record_of(text, number++);
            out += comma + std::string("{\"name\":") + quoted(r.at("name").text) +
                   ",\"n_cells\":" + integer_json(r.at("n_cells").integer()) + "}";
            comma = ",";
        }
    out += "],\"splits\":";
    auto splits = m.find("splits");
    out += splits ? list_json(splits->at("names").items, [](const Json& v) { return quoted(v.text); }) : "null";
    out += ",\"tables\":{";
    comma = "";
    for (auto& t : m.at("tables").items) {
        Values q = s.all(t.at("masses"), tell);
        out += comma + quoted(t.at("name").text) + ":{\"by\":" + quoted(t.at("by").text) +
               ",\"n_strata\":" + t.at("n_strata").text + ",\"n_cells\":" + integer_json(t.at("n_cells").integer()) +
               ",\"counts\":" + ints_json(s.all(t.at("counts"), tell)) + ",\"masses\":[";
        for (int64_t k = 0; k < q.n; k++) out += (k ? ",\"" : "\"") + std::to_string(q.i(k)) + "\"";
        out += "],\"digest\":" + quoted(t.at("sha256").text) + "}";
        comma = ",";
    }
    return out + "}}";
}

namespace {
class CellReader {
  public:
    explicit CellReader(const Store& s) : s_(s), m_(*s.manifest) {}

    std::string cell(int64_t row) {
        const Json& p = part_of(row);
        const Json& src = p.at("sources");
        int64_t c = row - p.at("start").integer(), k = 0;
        Values& rows = whole(p.at("shard_rows"));
        if (rows.i(0) != 0 || rows.i(rows.n - 1) != p.at("n_cells").integer())
            throw Refusal("CNT-9 shard_rows: does not run from 0 to n_cells");
        for (int64_t j = 1; j < rows.n; j++)
            if (rows.i(j) <= rows.i(j - 1)) throw Refusal("CNT-9 shard_rows: does not increase");
        while (rows.i(k + 1) <= c) k++;
        int64_t before = c == rows.i(k) ? c : c - 1, here = c - before;
        Values record = s_.read(Array(p.at("index")), before, c + 1, tell_);
        Array entries(p.at("entries"));
        int64_t begin = here ? record.row(0, 0) : 0, end = record.row(0, here), e = entries.shard[1];
        std::string where = "row " + std::to_string(row);
        if (begin < 0 || end < begin || end > e)
            throw Refusal("CNT-11 " + where + ": row_end falls, or lies beyond the shard");
        Values v = s_.read(entries, k * e + begin, k * e + end, tell_, true);
        Cell cell = decode(v, 0, end - begin, src.at("n_genes").integer(), where, tell_, false);

        int64_t source = record.row(1, here), local = source - src.at("first").integer();
        if (local < 0 || local >= src.at("n").integer())
            throw Refusal("CEL-5 " + where + ": its source is not one of the part's");
        Json info = record_of(s_.string_at(src.at("records"), local, tell_), source);
        __int128 sum = 0;
        for (auto& [g, x] : cell.values) sum += x;
        bool lower_bound = false;  // of a number that the record has no room for, where columns were left out (CEL-8)
        auto figure = [&](int field, __int128 own) {
            int64_t stored = record.row(field, here);
            if (stored < 0 && stored != -3) throw Refusal("CEL-7 " + where + ": a negative number");
            lower_bound |= stored == -3 && info.at("n_left_out").integer() > 0;
            return integer_json(stored == -3 ? own : stored);
        };
        std::string out = "{\"row\":" + std::to_string(row) + ",\"source\":" + quoted(info.at("name").text) +
                          ",\"source_row\":" + std::to_string(record.row(2, here)) +
                          ",\"barcode\":" + quoted(s_.string_at(p.at("barcode"), c, tell_)) +
                          ",\"total_counts\":" + figure(3, sum) + ",\"n_genes\":" + figure(4, cell.values.size()) +
                          ",\"split\":";
        auto code = [&](const Json& place) {
            auto field = place.find("field");
            return field ? record.row(field->integer(), here) : s_.read(Array(place.at("array")), c, c + 1, tell_).i(0);
        };
        auto checked = [&](int64_t code, int64_t n, const char* requirement) {
            if (code < -1 || code >= n) throw Refusal(std::string(requirement) + " " + where + ": a code is not there");
            return code;
        };
        auto split = p.find("split");
        if (split) {
            auto& names = m_.at("splits").at("names").items;
            int64_t x = checked(code(*split), names.size(), "SPL-3");
            out += x < 0 ? "null" : quoted(names[x].text);
        } else
            out += "null";
        out += ",\"genes\":" + list_json(cell.values, [](auto& x) { return std::to_string(x.first); });
        out += ",\"counts\":" + list_json(cell.values, [](auto& x) { return integer_json(x.second); });
        Values& measured = whole(src.at("measured"));
        int64_t n_measured = 0;
        for (int64_t g = 0; g < measured.shape[1]; g++) n_measured += measured.row(local, g);
        out += ",\"measured\":" + std::to_string(n_measured) + ",\"labels\":{";
        std::map<std::string, std::string> labels;
        const char* comma = "";
        for (auto& l : m_.at("labels").items) {
            const std::string& name = l.at("name").text;
            auto place = p.at("labels").find(name);
            int64_t n = Array(l.at("categories").at("offsets")).last() - 1,
                    x = place ? checked(code(*place), n, "LAB-7") : -1;
            labels[name] = x < 0 ? "null" : quoted(s_.string_at(l.at("categories"), x, tell_));
            out += comma + quoted(name) + ":" + labels[name];
            comma = ",";
        }
        out += "},\"obs\":{";
        comma = "";
        for (auto& column : m_.at("obs").items) {
            const std::string& name = column.at("name").text;
            auto label = column.find("label");
            out += comma + quoted(name) + ":" +
                   (label ? labels[label->text] : value(column, p.at("obs").find(name), c, where));
            comma = ",";
        }
        return out + (lower_bound ? "},\"lower_bound\":true}" : "}}");
    }

  private:
    const Store& s_;
    const Json& m_;
    Tell tell_ = refusing();
    std::map<std::string, Values> whole_;

    const Json& part_of(int64_t row) {
        for (auto& p : m_.at("parts").items)
            if (row >= p.at("start").integer() && row < p.at("start").integer() + p.at("n_cells").integer()) return p;
        throw Refusal("row " + std::to_string(row) + " is not there: the store has " + m_.at("n_cells").text, 2);
    }
    Values& whole(const Json& array) {
        auto& held = whole_[array.at("path").text];
        if (held.shape.empty()) held = s_.all(array, tell_);
        return held;
    }
    std::string value(const Json& column, const Json* o, int64_t c, const std::string& where) {
        if (!o) return "null";
        auto one = [&](const char* member) { return s_.read(Array(o->at(member)), c, c + 1, tell_); };
        if (o->find("missing") && one("missing").i(0)) return "null";
        const std::string& kind = column.at("kind").text;
        if (kind == "string") return quoted(s_.string_at(o->at("strings"), c, tell_));
        if (kind == "categorical") {
            int64_t x = one("codes").i(0), n = Array(column.at("categories").at("offsets")).last() - 1;
            if (x < -1 || x >= n) throw Refusal("CEL-19 " + where + ": a code is not there");
            return x < 0 ? "null" : quoted(s_.string_at(column.at("categories"), x, tell_));
        }
        Values v = one("values");
        if (kind == "boolean") return v.i(0) ? "true" : "false";
        if (kind == "float") return number_json(v.d(0));
        return v.dtype == "uint64" ? integer_json((uint64_t)v.i(0)) : integer_json(v.i(0));
    }
};
}  // namespace

std::string read_cells(const Store& s, const std::vector<int64_t>& rows) {
    int64_t n = s.manifest->at("n_cells").integer();
    for (int64_t r : rows)
        if (r < 0 || r >= n)
            throw Refusal("row " + std::to_string(r) + " is not there: the store has " + std::to_string(n), 2);
    CellReader reader(s);
    return "{\"cells\":" + list_json(rows, [&](int64_t r) { return reader.cell(r); }) + "}";
}
