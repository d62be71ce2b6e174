// Members of JSON objects and their types: the tables of manifest.md and sources.md.
#include <sstream>

#include "store.hpp"

// The tables of manifest.md: of each object its members, `?` before an optional one. `*T` is a list, `+T` one that is
// not empty, `@T` a map, `a|b` one of these words.
static const std::map<std::string, std::string>& objects() {
    static const std::map<std::string, std::string> all = {
        {"Manifest",
         "format=scformat| version=str required_features=*str optional_features=*str generator=str seed=count "
         "n_cells=count "
         "n_entries=count genes=Genes labels=*Label obs=*ObsColumn ?splits=Splits parts=+Part tables=*Table "
         "?neighbours=*Near findings=*Finding skipped=*Skipped groups=@digest sha256=digest"},
        {"Array", "path=path dtype=dtype shape=*count chunk=*extent shard=*extent fill=num sha256=digest"},
        {"StringArray", "bytes=Array offsets=Array"},
        {"Genes",
         "n=count mode=union|intersection|list id=StringArray symbol=StringArray biotype=StringArray taxon=Array "
         "resolved=Array by_id=Array organisms=*Organism index_digest=digest set_digest=digest"},
        {"Organism", "taxon=int name=str n_genes=count ?reference=str"},
        {"Label", "name=str categories=StringArray counts=Array ?ontology=Ontology"},
        {"Ontology",
         "releases=@str n_terms=count id=StringArray name=StringArray edges=Array closure=Array closure_offsets=Array "
         "counts=Array category_terms=Array"},
        {"ObsColumn",
         "name=str kind=integer|float|boolean|string|categorical dtype=str ?categories=StringArray ?label=str"},
        {"Splits", "names=+str ?shares=*num by=*str seed=count counts=*count ?duplicates_left_out=count"},
        {"Part",
         "start=count n_cells=count n_entries=count order=Order fields=*str entries=Array shard_rows=Array "
         "shard_digests=Array "
         "index=Array content=Array barcode=StringArray labels=@Place ?split=Place obs=@ObsValues sources=PartSources"},
        {"Place", "?field=field ?array=Array"},
        {"ObsValues", "?values=Array ?strings=StringArray ?codes=Array ?missing=Array"},
        {"Order", "kind=source|shuffled|stratified ?by=*str"},
        {"PartSources",
         "first=count n=count n_genes=count records=StringArray measured=Array stats=Array var_names=StringArray "
         "var_offsets=Array var_gene=Array"},
        {"Near",
         "name=str k=k n_rows=count cells=digest n_neighbours=count ?weight=str source=str rows=Array ?weights=Array "
         "sha256=digest"},
        {"Finding", "?source=str what=str ?value=str ?cells=count ?note=str"},
        {"Skipped", "path=str code=str message=str"},
        {"Table",
         "name=name by=str keys=+Key ?split=str ?where=str ?temperature=num ?files=*File n_strata=count bits=count "
         "n_cells=count "
         "n_missing=count n_left_out=count n_rows=count cells=digest codes=Array counts=Array masses=Array "
         "threshold=Array "
         "alias=Array offsets=Array ?run_start=Array ?run_length=Array ?rows=Array sha256=digest"},
        {"Key", "name=str kind=label|figure ?missing=str ?levels=*num"},
        {"File", "name=str sha256=digest"},
        {"SourceRecord",
         "name=str ?path=str sha256=digest format=h5ad|10x-v2|10x-v3|anndata-zarr|anndata counts=str "
         "layout=csr|csc|dense "
         "dtype=str n_rows=count n_cells=count n_vars=count n_nonzero=count total=count organisms=*int gene_ids=str "
         "gene_id_kind=id|symbol n_resolved=count n_merged=count n_left_out=count ?index_name=str "
         "columns=*SourceColumn "
         "not_kept=*str ?var_index_name=str ?study=str ?licence=str ?citation=str ?doi=str ?metadata=@str"},
        {"SourceColumn",
         "name=str kind=integer|float|boolean|string|categorical dtype=str ?nullable=bool ?ordered=bool "
         "?categories=*str"},
    };
    return all;
}

bool is_name(const std::string& s) {  // letters, digits, _, - and single dots between them
    bool dot = true;
    for (unsigned char c : s) {
        if (c == '.' && dot) return false;
        dot = c == '.';
        if (!dot && !(c < 128 && (std::isalnum(c) || c == '_' || c == '-'))) return false;
    }
    return !dot;
}

bool is_path(const std::string& s) {
    for (size_t b = 0;;) {
        size_t e = s.find('/', b);
        if (!is_name(s.substr(b, e == std::string::npos ? e : e - b))) return false;
        if (e == std::string::npos) return true;
        b = e + 1;
    }
}

bool is_digest(const Json& v) {
    return v.kind == Json::String && v.text.size() == 64 &&
           v.text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

static const std::set<std::string> dtypes = {"uint8", "uint16", "uint32", "uint64",  "int8",
                                             "int16", "int32",  "int64",  "float32", "float64"};

// Checks a value against a type of the tables. `base` is the statement that a wrong type violates.
void check_type(const Json& v, const std::string& type, const std::string& where, const std::string& base,
                const Tell& tell) {
    auto wrong = [&](const std::string& what) { tell(base, where, "expected " + what); };
    auto whole = [&](double lo, double hi, const char* what) {
        if (!v.whole() || v.number() < lo || v.number() > hi) wrong(what);
    };
    const double exact = 9007199254740991.0;
    if (v.kind == Json::Null) return tell(base == "SRC-1" ? "SRC-1" : "MAN-2", where, "is null");
    if (type[0] == '*' || type[0] == '+') {
        if (v.kind != Json::List) return wrong("a list");
        if (type[0] == '+' && v.items.empty()) wrong("at least one");
        for (size_t k = 0; k < v.items.size(); k++)
            check_type(v.items[k], type.substr(1), where + "/" + std::to_string(k), type == "*Table" ? "TAB-6" : base,
                       tell);
    } else if (type[0] == '@') {
        if (v.kind != Json::Object) return wrong("an object");
        for (auto& [n, m] : v.members) check_type(m, type.substr(1), where + "/" + n, base, tell);
    } else if (objects().count(type)) {
        if (v.kind != Json::Object) return wrong("an object");
        std::istringstream members(objects().at(type));
        for (std::string member; members >> member;) {
            bool optional = member[0] == '?';
            size_t eq = member.find('=');
            std::string name = member.substr(optional, eq - optional);
            const Json* m = v.find(name);
            if (m && optional && m->kind == Json::Null && base == "SRC-1") continue;
            if (m)
                check_type(*m, member.substr(eq + 1), where + "/" + name, base, tell);
            else if (!optional)
                tell(base, where + "/" + name, "is not there");
        }
        if (type == "Array" && v.find("shape") && (v.at("shape").items.empty() || v.at("shape").items.size() > 3))
            wrong("1 to 3 axes");
        if (type == "Place" && (v.find("field") != nullptr) == (v.find("array") != nullptr))
            wrong("a field or an array");
    } else if (type == "str") {
        if (v.kind != Json::String) wrong("a text");
    } else if (type == "bool") {
        if (v.kind != Json::Bool) wrong("true or false");
    } else if (type == "name") {
        if (v.kind != Json::String || v.text.size() > 64 || !is_name(v.text)) wrong("a name");
    } else if (type == "num") {
        if (v.kind != Json::Number) wrong("a number");
    } else if (type == "count")
        whole(0, exact, "a count");
    else if (type == "int")
        whole(-exact, exact, "an integer");
    else if (type == "extent")
        whole(1, exact, "an integer above 0");
    else if (type == "field")
        whole(5, exact, "the number of a field, 5 or more");
    else if (type == "k")
        whole(1, 1024, "1 to 1024");
    else if (type == "digest") {
        if (!is_digest(v)) wrong("a digest");
    } else if (type == "path") {
        if (v.kind != Json::String)
            wrong("a path");
        else if (!is_path(v.text))
            tell("ZAR-4", where, "is no path of a store");
    } else if (type == "dtype") {
        if (v.kind != Json::String)
            wrong("a data type");
        else if (!dtypes.count(v.text))
            tell("ZAR-8", where, "is no data type of a store");
    } else if (v.kind != Json::String || v.text.find('|') != std::string::npos ||
               ("|" + type + "|").find("|" + v.text + "|") == std::string::npos)
        wrong("one of " + type);
}
