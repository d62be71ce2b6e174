// The root, and arrays by ranges of their last axis: shards, chunks, blosc, CRC-32C (container.md).
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "hash.hpp"
#include "json.hpp"

struct Refusal : std::runtime_error {
    int status;
    explicit Refusal(const std::string& what, int status = 1) : runtime_error(what), status(status) {}
};

struct Finding {
    std::string requirement, where, message;
};
// Takes what is wrong; that of a reader throws, that of a validator notes it.
using Tell = std::function<void(const std::string& requirement, const std::string& where, const std::string& message)>;
Tell refusing();

void check_type(const Json&, const std::string& type, const std::string& where, const std::string& requirement,
                const Tell&);
bool is_name(const std::string&);
bool is_path(const std::string&);
bool is_digest(const Json&);

bool read_file(const std::string& path, std::string& out);

struct Array {
    std::string path, dtype;
    std::vector<int64_t> shape, chunk, shard;
    Json fill;
    explicit Array(const Json&);
    int item() const;
    int64_t last() const { return shape.back(); }
    int64_t elements() const;
    std::vector<std::string> files() const;  // of the grid, in C order, relative to the array
};

// Elements of an array, or of a range of its last axis, in C order.
struct Values {
    std::string dtype;
    std::vector<int64_t> shape;
    std::string bytes;
    bool damaged = false;
    int64_t n = 0;
    int64_t i(int64_t k) const;  // of integers; a uint64 as its bits
    double d(int64_t k) const;
    int64_t row(int64_t r, int64_t k) const { return i(r * shape.back() + k); }
};

std::string fill_bytes(const Array&);

struct Store {
    std::string root, text;
    Json document;
    const Json* manifest = nullptr;

    // Of an array the columns lo .. hi - 1 of the last axis. `counts`: single elements may be the fill value (CNT-6);
    // `absent_ok`: a chunk may be absent, as those of a tail are (CNT-8).
    Values read(const Array&, int64_t lo, int64_t hi, const Tell&, bool counts = false, bool absent_ok = false) const;
    Values all(const Json& array, const Tell& tell) const {
        Array a(array);
        return read(a, 0, a.last(), tell);
    }
    std::string string_at(const Json& strings, int64_t k, const Tell&) const;
    std::vector<std::string> strings(const Json& strings, const Tell&, bool* damaged = nullptr) const;

  private:
    mutable std::map<std::string, std::shared_ptr<std::string>> files_;
    mutable std::map<std::string, std::string> decoded_;  // chunks, by file and number
    std::shared_ptr<std::string> file(const std::string& path) const;
};

// Opens a store for reading: root, version, features, digest, and all that level 1 says.
Store open_store(const std::string& root);
std::vector<Finding> check_metadata(Store&);      // level 1; sets document and manifest
void check_hierarchy(const Store&, const Tell&);  // level 2
void check_data(const Store&, const Tell&);       // level 3
void check_neighbours(const Store&, const Tell&);
void check_tables(const Store&, const Tell&);                    // level 4
std::string cells_digest(const Json& manifest, int64_t n_rows);  // TAB-9; empty where no part ends there

struct ArrayPlace {
    const Json* array;
    std::string where;
    char role;  // c counts, i -2, f 255, o obs values, w weights of neighbours, l codes of obs
};
std::vector<ArrayPlace> arrays_of(const Json& manifest);

std::string describe(const Store&);
std::string read_cells(const Store&, const std::vector<int64_t>& rows);
std::string draw(const Store&, const std::map<std::string, std::string>& options);

struct Cell {
    std::vector<std::pair<int64_t, int64_t>> values;  // gene and count, ascending
};
// Decodes entries lo .. hi - 1 of `entries` (deltas in row 0, counts in row 1).
// `strict` also asks for the canonical form (CNT-3).
Cell decode(const Values& entries, int64_t lo, int64_t hi, int64_t n_genes, const std::string& where, const Tell&,
            bool strict);
