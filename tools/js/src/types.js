/**
 * Types of the manifest, as schema/manifest.schema.json has them.
 *
 * @typedef {Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array | Uint32Array | BigUint64Array
 *   | Float32Array | Float64Array} Elements
 *
 * @typedef {object} ArrayEntry
 * @property {string} path
 * @property {string} dtype
 * @property {number[]} shape
 * @property {number[]} chunk
 * @property {number[]} shard
 * @property {number} fill
 * @property {string} sha256
 *
 * @typedef {{bytes: ArrayEntry, offsets: ArrayEntry}} StringsEntry
 *
 * @typedef {{taxon: number, name: string, n_genes: number, reference?: string}} Organism
 *
 * @typedef {object} GenesEntry
 * @property {number} n
 * @property {"union" | "intersection" | "list"} mode
 * @property {StringsEntry} id
 * @property {StringsEntry} symbol
 * @property {StringsEntry} biotype
 * @property {ArrayEntry} taxon
 * @property {ArrayEntry} resolved
 * @property {ArrayEntry} by_id
 * @property {Organism[]} organisms
 * @property {string} index_digest
 * @property {string} set_digest
 *
 * @typedef {object} OntologyEntry
 * @property {Record<string, string>} releases
 * @property {number} n_terms
 * @property {StringsEntry} id
 * @property {StringsEntry} name
 * @property {ArrayEntry} edges
 * @property {ArrayEntry} closure
 * @property {ArrayEntry} closure_offsets
 * @property {ArrayEntry} counts
 * @property {ArrayEntry} category_terms
 *
 * @typedef {{name: string, categories: StringsEntry, counts: ArrayEntry, ontology?: OntologyEntry}} LabelEntry
 *
 * @typedef {object} ObsColumn
 * @property {string} name
 * @property {"integer" | "float" | "boolean" | "string" | "categorical"} kind
 * @property {string} dtype
 * @property {StringsEntry} [categories]
 * @property {string} [label]
 *
 * @typedef {{values?: ArrayEntry, strings?: StringsEntry, codes?: ArrayEntry, missing?: ArrayEntry}} ObsValues
 *
 * @typedef {{field?: number, array?: ArrayEntry}} CodesPlace
 *
 * @typedef {object} PartSources
 * @property {number} first
 * @property {number} n
 * @property {number} n_genes
 * @property {StringsEntry} records
 * @property {ArrayEntry} measured
 * @property {ArrayEntry} stats
 * @property {StringsEntry} var_names
 * @property {ArrayEntry} var_offsets
 * @property {ArrayEntry} var_gene
 *
 * @typedef {object} PartEntry
 * @property {number} start
 * @property {number} n_cells
 * @property {number} n_entries
 * @property {{kind: "source" | "shuffled" | "stratified", by?: string[]}} order
 * @property {string[]} fields
 * @property {ArrayEntry} entries
 * @property {ArrayEntry} shard_rows
 * @property {ArrayEntry} shard_digests
 * @property {ArrayEntry} index
 * @property {ArrayEntry} content
 * @property {StringsEntry} barcode
 * @property {Record<string, CodesPlace>} labels
 * @property {CodesPlace} [split]
 * @property {Record<string, ObsValues>} obs
 * @property {PartSources} sources
 *
 * @typedef {object} SplitsEntry
 * @property {string[]} names
 * @property {number[]} [shares]
 * @property {string[]} by
 * @property {number} seed
 * @property {number[]} counts
 * @property {number} [duplicates_left_out]
 *
 * @typedef {object} TableEntry
 * @property {string} name
 * @property {string} by
 * @property {{name: string, kind: "label" | "figure", missing?: string, levels?: number[]}[]} keys
 * @property {string} [split]
 * @property {string} [where]
 * @property {number} [temperature]
 * @property {{name: string, sha256: string}[]} [files]
 * @property {number} n_strata
 * @property {number} bits
 * @property {number} n_cells
 * @property {number} n_missing
 * @property {number} n_left_out
 * @property {number} n_rows
 * @property {string} cells
 * @property {ArrayEntry} codes
 * @property {ArrayEntry} counts
 * @property {ArrayEntry} masses
 * @property {ArrayEntry} threshold
 * @property {ArrayEntry} alias
 * @property {ArrayEntry} offsets
 * @property {ArrayEntry} [run_start]
 * @property {ArrayEntry} [run_length]
 * @property {ArrayEntry} [rows]
 * @property {string} sha256
 *
 * @typedef {object} NeighboursEntry
 * @property {string} name
 * @property {number} k
 * @property {number} n_rows
 * @property {string} cells
 * @property {number} n_neighbours
 * @property {string} [weight]
 * @property {string} source
 * @property {ArrayEntry} rows
 * @property {ArrayEntry} [weights]
 * @property {string} sha256
 *
 * @typedef {{source?: string, what: string, value?: string, cells?: number, note?: string}} Finding
 *
 * @typedef {object} Manifest
 * @property {"scformat"} format
 * @property {string} version
 * @property {string[]} required_features
 * @property {string[]} optional_features
 * @property {string} generator
 * @property {number} seed
 * @property {number} n_cells
 * @property {number} n_entries
 * @property {GenesEntry} genes
 * @property {LabelEntry[]} labels
 * @property {ObsColumn[]} obs
 * @property {SplitsEntry} [splits]
 * @property {PartEntry[]} parts
 * @property {TableEntry[]} tables
 * @property {NeighboursEntry[]} [neighbours]
 * @property {Finding[]} findings
 * @property {{path: string, code: string, message: string}[]} skipped
 * @property {Record<string, string>} groups
 * @property {string} sha256
 *
 * @typedef {object} SourceRecord
 * @property {string} name
 * @property {string} [path]
 * @property {string} sha256
 * @property {string} format
 * @property {string} counts
 * @property {string} layout
 * @property {string} dtype
 * @property {number} n_rows
 * @property {number} n_cells
 * @property {number} n_vars
 * @property {number} n_nonzero
 * @property {number} total
 * @property {number[]} organisms
 * @property {string} gene_ids
 * @property {"id" | "symbol"} gene_id_kind
 * @property {number} n_resolved
 * @property {number} n_merged
 * @property {number} n_left_out
 * @property {string} [index_name]
 * @property {{name: string, kind: string, dtype: string, nullable?: boolean, ordered?: boolean, categories?: string[]}[]} columns
 * @property {string[]} not_kept
 * @property {string} [var_index_name]
 * @property {string} [study]
 * @property {string} [licence]
 * @property {string} [citation]
 * @property {string} [doi]
 * @property {Record<string, string>} [metadata]
 */

export {};
