import { z } from "zod";

/** The few shapes of schema that a CRD can hold, seen through `.optional()`, `.default()`, `.prefault()`, `.nullable()`. */
export type Node = { schema: z.core.$ZodType; nullable: boolean } & (
  | { kind: "Object"; fields: Readonly<Record<string, z.core.$ZodType>> }
  | { kind: "Array"; element: z.core.$ZodType; mapKeys: readonly string[] | undefined }
  | { kind: "Map"; value: z.core.$ZodType }
  | { kind: "Leaf" }
);

export function nodeOf(outer: z.core.$ZodType): Node {
  let schema = outer;
  let nullable = false;
  while (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable
  ) {
    nullable ||= schema instanceof z.ZodNullable;
    schema = schema.def.innerType;
  }
  const common = { schema, nullable };
  if (schema instanceof z.ZodObject) return { ...common, kind: "Object", fields: schema.def.shape };
  if (schema instanceof z.ZodRecord) return { ...common, kind: "Map", value: schema.def.valueType };
  if (schema instanceof z.ZodArray) {
    const mapKeys = schema.meta()?.["x-kubernetes-list-map-keys"] as readonly string[] | undefined;
    return { ...common, kind: "Array", element: schema.def.element, mapKeys };
  }
  return { ...common, kind: "Leaf" };
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `spec.sinks[0].name`, `spec.config[segment.ms]`: as the API server writes it. */
export type Path = readonly (string | number)[];

export interface Visited {
  node: Node;
  path: string;
  value: unknown;
  /** The same place in the old object; undefined where it had none, or where places cannot be told to be the same. */
  old: unknown;
}

/** Every place of a value that has a schema, parents first. List items correspond by their map keys, else not at all. */
export function* visit(schema: z.core.$ZodType, value: unknown, old: unknown, path = ""): Generator<Visited> {
  if (value === undefined) return;
  const node = nodeOf(schema);
  yield { node, path, value, old };

  if (node.kind === "Object" && isRecord(value)) {
    for (const [field, child] of Object.entries(node.fields)) {
      const before = isRecord(old) ? old[field] : undefined;
      yield* visit(child, value[field], before, path === "" ? field : `${path}.${field}`);
    }
  }
  if (node.kind === "Map" && isRecord(value)) {
    for (const [key, item] of Object.entries(value)) {
      yield* visit(node.value, item, isRecord(old) ? old[key] : undefined, `${path}[${key}]`);
    }
  }
  if (node.kind === "Array" && Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      yield* visit(node.element, item, sameItem(node.mapKeys, item, old), `${path}[${index}]`);
    }
  }
}

function sameItem(keys: readonly string[] | undefined, item: unknown, old: unknown): unknown {
  if (keys === undefined || !isRecord(item) || !Array.isArray(old)) return undefined;
  return old.find((candidate) => isRecord(candidate) && keys.every((key) => candidate[key] === item[key]));
}

/** The API server drops null where a schema does not allow it, before it fills in defaults. */
export function dropNulls(schema: z.core.$ZodType, value: unknown): unknown {
  const node = nodeOf(schema);
  if (node.kind === "Array" && Array.isArray(value)) return value.map((item) => dropNulls(node.element, item));
  if (node.kind === "Leaf" || node.kind === "Array" || !isRecord(value)) return value;

  const kept: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const child = node.kind === "Map" ? node.value : Object.hasOwn(node.fields, key) ? node.fields[key] : undefined;
    if (item === null && child !== undefined && !nodeOf(child).nullable) continue;
    Object.defineProperty(kept, key, {
      value: child === undefined ? item : dropNulls(child, item),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return kept;
}

/** Fills in what is absent, whether the rest is valid or not; a default of `{}` is filled in turn. */
export function withDefaults(schema: z.core.$ZodType, value: unknown): unknown {
  if (value === undefined) {
    const fallback = defaultOf(schema);
    return fallback === undefined ? undefined : withDefaults(schema, fallback);
  }
  const node = nodeOf(schema);
  if (node.kind === "Array" && Array.isArray(value)) return value.map((item) => withDefaults(node.element, item));
  if (node.kind !== "Object" || !isRecord(value)) return value;

  const filled = { ...value };
  for (const [field, child] of Object.entries(node.fields)) {
    const own = withDefaults(child, Object.hasOwn(value, field) ? value[field] : undefined);
    if (own !== undefined) filled[field] = own;
  }
  return filled;
}

const defaultOf = (schema: z.core.$ZodType): unknown =>
  schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined;
