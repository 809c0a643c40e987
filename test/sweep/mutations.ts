import { definitions, type StructuralSchema } from "../../crds/definition.ts";

type Path = readonly (string | number)[];

/** A spec with one field changed. */
export interface Mutation {
  /** `spec.sinks[0].name = ""` */
  readonly name: string;
  readonly spec: Record<string, unknown>;
}

/** Every field of a kind's spec, each with every value that its schema draws a line at, on both sides of the line. */
export function mutations(kind: "AuditTopic" | "AuditPipeline", base: Record<string, unknown>): Mutation[] {
  const definition = definitions().find(({ spec }) => spec.names.kind === kind);
  const spec = definition?.spec.versions[0]?.schema.openAPIV3Schema.properties?.["spec"];
  if (spec === undefined) throw new Error(`${kind} has no schema of its spec`);
  return [...fields(spec, [])].flatMap(([path, schema]) =>
    values(schema).map((value) => ({
      name: `spec${shown(path)} = ${brief(value)}`,
      spec: withValue(base, path, value),
    })),
  );
}

function* fields(schema: StructuralSchema, path: Path): Generator<[Path, StructuralSchema]> {
  yield [path, schema];
  for (const [name, inner] of Object.entries(schema.properties ?? {})) yield* fields(inner, [...path, name]);
  if (schema.items !== undefined) yield* fields(schema.items, [...path, 0]);
}

const OTHER_TYPES = [null, true, -1, 0, 1.5, 2 ** 53, "", "x", "'; DROP TABLE t; --", "\u0000", "🙈", [], {}, [[]]];

function values({ enum: allowed = [], minimum, maximum, minLength, maxLength, properties }: StructuralSchema) {
  return [
    ...OTHER_TYPES,
    ...allowed,
    ...(minimum === undefined ? [] : [minimum, minimum - 1]),
    ...(maximum === undefined ? [] : [maximum, maximum + 1]),
    ...(minLength === undefined ? [] : ["a".repeat(minLength), "a".repeat(Math.max(0, minLength - 1))]),
    ...(maxLength === undefined ? [] : ["a".repeat(maxLength), "a".repeat(maxLength + 1)]),
    ...(properties === undefined ? [] : [{ noSuchField: 1 }]),
  ];
}

/** Copies on the way down, and makes what is missing. */
function withValue(base: unknown, [step, ...rest]: Path, value: unknown): Record<string, unknown> {
  if (step === undefined) return value as Record<string, unknown>;
  if (typeof step === "number") {
    const list: unknown[] = Array.isArray(base) ? [...(base as unknown[])] : [];
    list[step] = withValue(list[step], rest, value);
    return list as unknown as Record<string, unknown>;
  }
  const record = typeof base === "object" && base !== null ? (base as Record<string, unknown>) : {};
  return { ...record, [step]: withValue(record[step], rest, value) };
}

const shown = (path: Path) => path.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("");

const brief = (value: unknown) => JSON.stringify(value).slice(0, 40);
