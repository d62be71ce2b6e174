// Level 2: the other zarr.json, and which files exist.
#include <sys/stat.h>

#include "store.hpp"

static bool load(const Store& store, const std::string& path, const char* missing, std::string& text, Json& out,
                 const Tell& tell) {
    std::string at = path + "/zarr.json";
    if (!read_file(store.root + "/" + at, text)) return tell(missing, at, "is missing"), false;
    JsonParser parser(text);
    try {
        out = parser.parse();
    } catch (const JsonError& e) {
        return tell("CNV-1", at, e.what()), false;
    }
    for (auto& t : parser.inexact) tell("CNV-2", at, t + " is not exact as binary64");
    if (out.kind != Json::Object) return tell(missing, at, "is no object"), false;
    return true;
}

static Json parsed(const std::string& text) { return JsonParser(text).parse(); }

static std::string list(const std::vector<int64_t>& v) {
    return list_json(v, [](int64_t x) { return std::to_string(x); });
}

static void check_array(const Store& store, const Json& array, const Tell& tell) {
    Array a(array);
    std::string text, at = a.path + "/zarr.json";
    Json d;
    if (load(store, a.path, "ZAR-9", text, d, tell)) {
        const std::string endian =
            a.item() == 1 ? R"({"name":"bytes"})" : R"({"name":"bytes","configuration":{"endian":"little"}})";
        Json codecs =
            parsed("[" + endian +
                   R"(,{"name":"blosc","configuration":{"cname":"lz4","clevel":5,"shuffle":"bitshuffle","typesize":)" +
                   std::to_string(a.item()) + R"(,"blocksize":0}},{"name":"crc32c"}])");
        Json index = parsed(R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}])");
        auto fixed = [&](const Json& o, const char* name, const std::string& wanted) {
            auto v = o.find(name);
            if (!v || !(*v == parsed(wanted))) tell("ZAR-9", at, std::string(name) + " is not as the profile wants it");
        };
        auto same = [&](const Json& o, const char* name, const Json& wanted) {
            auto v = o.find(name);
            if (!v)
                tell("ZAR-9", at, std::string(name) + " is not there");
            else if (!(*v == wanted))
                tell("ZAR-12", at, std::string(name) + " is not that of the manifest");
        };
        auto members = [&](const Json& o, std::set<std::string> names) {
            for (auto& [n, v] : o.members)
                if (!names.count(n)) tell("ZAR-9", at, n + " is a member that the profile does not have");
        };
        members(d, {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value",
                    "codecs", "attributes"});
        fixed(d, "zarr_format", "3");
        fixed(d, "node_type", "\"array\"");
        fixed(d, "chunk_key_encoding", R"({"name":"default","configuration":{"separator":"/"}})");
        fixed(d, "attributes", "{}");
        same(d, "shape", array.at("shape"));
        same(d, "data_type", array.at("dtype"));
        same(d, "fill_value", array.at("fill"));
        auto grid = d.find("chunk_grid");
        auto extent = grid ? grid->find("configuration") : nullptr;
        if (extent && extent->find("chunk_shape") && !(extent->at("chunk_shape") == array.at("shard")))
            tell("ZAR-12", at, "the shard is not that of the manifest");
        else
            fixed(d, "chunk_grid", R"({"name":"regular","configuration":{"chunk_shape":)" + list(a.shard) + "}}");
        auto c = d.find("codecs");
        if (!c || c->items.size() != 1)
            tell("ZAR-9", at, "codecs is not the sharding codec alone");
        else {
            auto conf = c->items[0].find("configuration");
            fixed(c->items[0], "name", "\"sharding_indexed\"");
            members(c->items[0], {"name", "configuration"});
            if (!conf || conf->kind != Json::Object)
                tell("ZAR-9", at, "the sharding codec has no configuration");
            else {
                members(*conf, {"chunk_shape", "codecs", "index_codecs", "index_location"});
                same(*conf, "chunk_shape", array.at("chunk"));
                auto codec = [&](const char* name, const Json& wanted, const char* requirement) {
                    auto v = conf->find(name);
                    if (!v)
                        tell("ZAR-9", at, std::string(name) + " is not there");
                    else if (!(*v == wanted))
                        tell(requirement, at, std::string(name) + " are others");
                };
                codec("codecs", codecs, "ZAR-10");
                codec("index_codecs", index, "ZAR-11");
                codec("index_location", parsed("\"end\""), "ZAR-11");
            }
        }
    }
    for (auto& f : a.files()) {
        struct stat s;
        if (stat((store.root + "/" + a.path + "/" + f).c_str(), &s) || !S_ISREG(s.st_mode))
            tell("ZAR-15", a.path + "/" + f, "is missing");
    }
}

void check_hierarchy(const Store& store, const Tell& tell) {
    std::set<std::string> groups;
    for (auto& a : arrays_of(*store.manifest)) {
        const std::string& path = a.array->at("path").text;
        for (size_t e = path.find('/'); e != std::string::npos; e = path.find('/', e + 1))
            groups.insert(path.substr(0, e));
        check_array(store, *a.array, tell);
    }
    const Json& listed = store.manifest->at("groups");
    for (auto& [path, digest] : listed.members)
        if (!groups.count(path)) tell("ZAR-5", path, "is listed, and no array lies in it");
    for (auto& path : groups) {
        std::string text;
        Json d;
        auto digest = listed.find(path);
        if (!digest) tell("ZAR-5", path, "is not listed in groups");
        if (!load(store, path, "ZAR-5", text, d, tell)) continue;
        if (!(d == parsed(R"({"zarr_format":3,"node_type":"group","attributes":{}})")))
            tell("ZAR-5", path + "/zarr.json", "is no group with empty attributes");
        if (digest && sha256_hex(text) != digest->text) tell("INT-3", path + "/zarr.json", "has another digest");
    }
}
