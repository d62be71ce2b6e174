// The verbs of the conformance kit: validate, describe, read and draw.
#include <cstring>
#include <iostream>
#include <sstream>

#include "store.hpp"

static std::string validate(const std::string& root, int level) {
    Store store;
    store.root = root;
    std::vector<Finding> found = check_metadata(store);
    Tell tell = [&](auto& r, auto& w, auto& m) { found.push_back({r, w, m}); };
    // Each level relies on the one below it: a root that does not hold says nothing certain of what lies under it.
    if (found.empty() && level >= 2) check_hierarchy(store, tell);
    if (found.empty() && level >= 3) check_data(store, tell), check_neighbours(store, tell);
    if (found.empty() && level >= 4) check_tables(store, tell);
    return "{\"valid\":" + std::string(found.empty() ? "true" : "false") + ",\"level\":" + std::to_string(level) +
           ",\"findings\":" +
           list_json(found,
                     [](auto& f) {
                         return "{\"requirement\":" + quoted(f.requirement) + ",\"where\":" + quoted(f.where) +
                                ",\"message\":" + quoted(f.message) + "}";
                     }) +
           "}";
}

static const char* usage =
    "usage: cellstore validate|describe|read|draw STORE [--level N] [--rows A,B,...] [--table NAME --plan P --seed N "
    "...]";

int main(int argc, char** argv) {
    std::vector<std::string> words;
    std::map<std::string, std::string> options;
    try {
        for (int k = 1; k < argc; k++) {
            std::string a = argv[k];
            if (a == "--json") continue;
            if (a.rfind("--", 0) != 0)
                words.push_back(a);
            else if (++k < argc)
                options[a.substr(2)] = argv[k];
            else
                throw Refusal(a + " needs a value", 2);
        }
        if (words.size() != 2) throw Refusal(usage, 2);
        const std::string &verb = words[0], &root = words[1];
        std::string answer;
        if (verb == "validate") {
            std::string level = options.count("level") ? options["level"] : "3";
            if (level.size() != 1 || level[0] < '1' || level[0] > '4') throw Refusal("--level is 1 to 4", 2);
            answer = validate(root, level[0] - '0');
        } else if (verb == "describe")
            answer = describe(open_store(root));
        else if (verb == "read") {
            std::vector<int64_t> rows;
            std::istringstream in(options["rows"]);
            for (std::string r; std::getline(in, r, ',');) {
                if (r.empty() || r.size() > 16 || r.find_first_not_of("0123456789") != std::string::npos)
                    throw Refusal("--rows: " + r + " is no row", 2);
                rows.push_back(std::stoll(r));
            }
            answer = read_cells(open_store(root), rows);
        } else if (verb == "draw")
            answer = draw(open_store(root), options);
        else
            throw Refusal(usage, 2);
        std::cout << answer << std::endl;
        return 0;
    } catch (const Refusal& e) {
        std::cerr << "cellstore: " << e.what() << std::endl;
        return e.status;
    } catch (const std::exception& e) {
        std::cerr << "cellstore: the data cannot be read: " << e.what() << std::endl;
        return 1;
    }
}
