/** Checks a value against a JSON Schema of spec/schema: the keywords that these use, and an error for any other. */

/**
 * @typedef {{where: string, message: string}} Violation
 * @typedef {Record<string, any>} Schema
 */

const ANNOTATIONS = new Set(["$schema", "$defs", "title", "description", "default"]);

/**
 * @param {any} value
 * @param {Schema} schema a document of spec/schema
 * @returns {Violation[]}
 */
export function violations(value, schema) {
  const found = /** @type {Violation[]} */ ([]);
  check(value, schema, schema, "", found);
  return found;
}

/** @type {Record<string, (value: any) => boolean>} */
const TYPES = {
  null: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === "number",
  string: (value) => typeof value === "string",
  array: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/**
 * @param {any} value
 * @param {Schema} schema
 * @param {Schema} root
 * @param {string} where
 * @param {Violation[]} found
 */
function check(value, schema, root, where, found) {
  if (schema.$ref !== undefined) {
    check(value, root.$defs[schema.$ref.replace("#/$defs/", "")], root, where, found);
    return;
  }
  /** @param {string} message */
  const say = (message) => found.push({ where, message });
  const show = JSON.stringify(value)?.slice(0, 80);
  for (const [keyword, wanted] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword)) continue;
    const apply = KEYWORDS[keyword];
    if (apply === undefined) throw new Error(`schema keyword ${keyword} is not known here`);
    const message = apply(value, wanted, { schema, root, where, found });
    if (message) say(`${message}, found ${show}`);
    if (message && keyword === "type") return;
  }
}

/** @typedef {{schema: Schema, root: Schema, where: string, found: Violation[]}} Place */

/** @type {Record<string, (value: any, wanted: any, place: Place) => string | undefined>} */
const KEYWORDS = {
  type: (value, wanted) => (TYPES[wanted](value) ? undefined : `expected ${wanted}`),
  const: (value, wanted) => (value === wanted ? undefined : `expected ${JSON.stringify(wanted)}`),
  enum: (value, wanted) => (wanted.includes(value) ? undefined : `expected one of ${wanted.join(", ")}`),
  pattern: (value, wanted) =>
    typeof value !== "string" || new RegExp(wanted, "u").test(value) ? undefined : `expected text like ${wanted}`,
  maxLength: (value, wanted) =>
    typeof value !== "string" || [...value].length <= wanted ? undefined : `expected at most ${wanted} characters`,
  minimum: (value, wanted) => (typeof value !== "number" || value >= wanted ? undefined : `expected ${wanted} or more`),
  maximum: (value, wanted) => (typeof value !== "number" || value <= wanted ? undefined : `expected ${wanted} or less`),
  exclusiveMinimum: (value, wanted) =>
    typeof value !== "number" || value > wanted ? undefined : `expected more than ${wanted}`,
  minItems: (value, wanted) =>
    !Array.isArray(value) || value.length >= wanted ? undefined : `expected ${wanted} or more items`,
  maxItems: (value, wanted) =>
    !Array.isArray(value) || value.length <= wanted ? undefined : `expected ${wanted} or fewer items`,
  items: (value, wanted, { root, where, found }) => {
    if (Array.isArray(value)) value.forEach((item, i) => check(item, wanted, root, `${where}/${i}`, found));
    return undefined;
  },
  properties: (value, wanted, { root, where, found }) => {
    if (!TYPES.object(value)) return undefined;
    for (const [name, schema] of Object.entries(wanted)) {
      if (Object.hasOwn(value, name)) check(value[name], schema, root, `${where}/${name}`, found);
    }
    return undefined;
  },
  required: (value, wanted) => {
    if (!TYPES.object(value)) return undefined;
    const lacking = wanted.filter((/** @type {string} */ name) => !Object.hasOwn(value, name));
    return lacking.length === 0 ? undefined : `expected the members ${lacking.join(", ")}`;
  },
  patternProperties: (value, wanted, { root, where, found }) => {
    if (!TYPES.object(value)) return undefined;
    for (const [name, member] of Object.entries(value)) {
      for (const [pattern, inner] of Object.entries(wanted)) {
        if (new RegExp(pattern, "u").test(name)) check(member, inner, root, `${where}/${name}`, found);
      }
    }
    return undefined;
  },
  additionalProperties: (value, wanted, { schema, root, where, found }) => {
    if (!TYPES.object(value) || wanted === true) return undefined;
    for (const [name, member] of Object.entries(value)) {
      if (Object.hasOwn(schema.properties ?? {}, name)) continue;
      if (wanted === false) found.push({ where: `${where}/${name}`, message: "a member that is not allowed here" });
      else check(member, wanted, root, `${where}/${name}`, found);
    }
    return undefined;
  },
  anyOf: (value, wanted, { root, where, found }) => {
    let best = /** @type {Violation[] | undefined} */ (undefined);
    for (const schema of wanted) {
      const inner = /** @type {Violation[]} */ ([]);
      check(value, schema, root, where, inner);
      if (inner.length === 0) return undefined;
      // say what is wrong with the alternative that is no null: null is what an optional member may not be
      if (best === undefined || schema.type !== "null") best ??= inner;
    }
    found.push(...(best ?? []));
    return undefined;
  },
};
