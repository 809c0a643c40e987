import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { type StructuralSchema, structuralSchema } from "../../crds/definition.ts";
import { type Rule, rulesOf } from "../../crds/rules.ts";
import { dropNulls, isRecord, nodeOf, visit, withDefaults } from "../../crds/schema-tree.ts";
import { auditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { auditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { evaluate } from "./cel.ts";
import { corpus } from "./read.ts";

const KINDS: Record<string, z.ZodType> = { AuditTopic: auditTopic, AuditPipeline: auditPipeline };

/** How often each rule was seen to hold and to be broken. */
type Tally = Map<string, { holds: number; broken: number }>;

function compare(schema: z.ZodType, value: unknown, old: unknown, tally: Tally): void {
  for (const place of visit(schema, value, old)) {
    if (place.value === null) continue;
    for (const rule of rulesOf(place.node.schema)) {
      if (rule.kind === "Transition" && place.old === undefined) continue;
      const here = rule.kind === "Value" ? rule.holds(place.value) : rule.holds(place.value, place.old);
      expect(evaluate(rule.cel, place.value, place.old), `${place.path}: ${rule.cel}`).toBe(here);
      count(tally, rule, here);
    }
  }
}

function count(tally: Tally, { cel }: Rule, holds: boolean): void {
  const seen = tally.get(cel) ?? { holds: 0, broken: 0 };
  tally.set(cel, { holds: seen.holds + (holds ? 1 : 0), broken: seen.broken + (holds ? 0 : 1) });
}

/** With defaults; undefined where the schema itself refuses, because no rule is asked then. */
function parsed(schema: z.ZodType, object: unknown): unknown {
  const given = dropNulls(schema, object);
  const { data } = schema.safeParse(given);
  if (data !== undefined) expect(withDefaults(schema, given), "defaults, filled in as in validation").toEqual(data);
  return data;
}

function* allRules(schema: z.core.$ZodType): Generator<Rule> {
  const node = nodeOf(schema);
  yield* rulesOf(node.schema);
  if (node.kind === "Object") for (const field of Object.values(node.fields)) yield* allRules(field);
  if (node.kind === "Array") yield* allRules(node.element);
  if (node.kind === "Map") yield* allRules(node.value);
}

describe("a rule's CEL and its twin in code give the same answer", () => {
  test("over the corpus, which breaks and keeps every rule", () => {
    const tally: Tally = new Map();
    for (const { object, before } of [...corpus("accepted"), ...corpus("refused")]) {
      const schema = isRecord(object) ? KINDS[String(object["kind"])] : undefined;
      if (schema === undefined) continue;
      const value = parsed(schema, object);
      const old = before === undefined ? undefined : parsed(schema, before);
      if (value !== undefined) compare(schema, value, old, tally);
    }
    const celOfAll = new Set([...allRules(auditTopic), ...allRules(auditPipeline)].map((rule) => rule.cel));
    const untried = [...celOfAll].filter((cel) => {
      const seen = tally.get(cel);
      return seen === undefined || seen.holds === 0 || seen.broken === 0;
    });
    expect(untried).toEqual([]);
  });

  test.for(Object.entries(KINDS))("over generated values of %s and updates between them", ([kind, schema]) => {
    const spec = structuralSchema(schema).properties?.["spec"] ?? {};
    const name = fc.constantFrom("a", "n".repeat(40), "n".repeat(41), "n".repeat(181), "a.b");
    const object = fc.record({ spec: arbitrary(spec), name }).map(({ name: metadataName, spec: own }) =>
      parsed(schema, {
        apiVersion: "auditpipeline.io/v1alpha1",
        kind,
        metadata: { name: metadataName },
        spec: own,
      }),
    );
    const tally: Tally = new Map();
    fc.assert(
      fc.property(object, object, (value, old) => {
        expect(value, "the generator makes what the schema takes").toBeDefined();
        compare(schema, value, old, tally);
      }),
      { numRuns: 300 },
    );
    expect(tally.size).toBeGreaterThan(10);
  });

  test("over every string that a rule on strings might meet", () => {
    const strings = [...allRules(auditTopic), ...allRules(auditPipeline)].filter(
      (rule) => rule.kind === "Value" && rule.cel.startsWith("!self.startsWith"),
    );
    expect(strings.length).toBeGreaterThan(2);
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom(...POOL)), (text) => {
        for (const rule of strings) {
          if (rule.kind === "Value") expect(evaluate(rule.cel, text)).toBe(rule.holds(text));
        }
      }),
    );
  });
});

test("no default breaks a rule before what is inside of it is filled in, as the API server demands", () => {
  const defaults = (schema: StructuralSchema): [string, unknown][] => [
    ...(schema.default === undefined
      ? []
      : (schema["x-kubernetes-validations"] ?? [])
          .filter(({ rule }) => !rule.includes("oldSelf"))
          .map(({ rule }): [string, unknown] => [rule, schema.default])),
    ...Object.values(schema.properties ?? {}).flatMap(defaults),
    ...(schema.items === undefined ? [] : defaults(schema.items)),
  ];
  const rules = [auditTopic, auditPipeline].flatMap((schema) => defaults(structuralSchema(schema)));
  expect(rules.length).toBeGreaterThan(10);
  for (const [rule, value] of rules) expect(evaluate(rule, value), rule).toBe(true);
});

test("every pattern means the same to RE2 as it means here", () => {
  const patterns = (schema: StructuralSchema): string[] => [
    ...(schema.pattern === undefined ? [] : [schema.pattern]),
    ...Object.values(schema.properties ?? {}).flatMap(patterns),
    ...(schema.items === undefined ? [] : patterns(schema.items)),
  ];
  const distinct = new Set([auditTopic, auditPipeline].flatMap((schema) => patterns(structuralSchema(schema))));
  expect(distinct.size).toBeGreaterThan(8);
  for (const pattern of distinct) {
    const text = fc.oneof(fc.stringMatching(new RegExp(pattern)), fc.string(), fc.constantFrom(...POOL));
    const spoilt = fc.tuple(text, fc.constantFrom("", "\n", " ", "-", "ü", "\0")).map(([good, end]) => good + end);
    fc.assert(
      fc.property(spoilt, (candidate) => {
        expect(evaluate(`self.matches(${JSON.stringify(pattern)})`, candidate)).toBe(
          new RegExp(pattern).test(candidate),
        );
      }),
      { numRuns: 50 },
    );
  }
});

/** Few and telling, so that names meet each other and the reserved ones. */
const POOL = [
  ...["a", "b", "audit", "default", "team-a.x", "..", ".", "__consumer_offsets", "t".repeat(245), "t".repeat(249)],
  ...["postgres", "template1", "pg_x", "public", "information_schema"],
  ...["0s", "1ms", "10ms", "1s", "2s", "30s", "5m", "1h", "24h", "168h", "999999h", "Unlimited"],
  ...["1", "1Ki", "64Ki", "1Mi", "8Mi", "1Gi", "1Pi", "500m"],
  ...["kafka.example:9092", "[::1]:9093"],
];
const CONFIG_KEYS = ["segment.ms", "retention.ms", "cleanup.policy", "k".repeat(128), "k".repeat(129), ""];

/** Values that a schema takes; rules may refuse them. */
function arbitrary(schema: StructuralSchema): fc.Arbitrary<unknown> {
  if (schema["x-kubernetes-int-or-string"] === true) return fc.constantFrom(0, 2, "500m");
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 0, (schema.minimum ?? 0) + 30) });
    case "string":
      return fc.constantFrom(...POOL.filter((text) => matches(schema, text)));
    case "array":
      return fc.array(arbitrary(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 3 });
    default:
      return objects(schema);
  }
}

function objects({ properties, additionalProperties, required = [] }: StructuralSchema): fc.Arbitrary<unknown> {
  if (typeof additionalProperties === "object") {
    return fc.dictionary(fc.constantFrom(...CONFIG_KEYS), fc.constantFrom("1", null), { maxKeys: 2 });
  }
  const fields = Object.entries(properties ?? {}).map(([name, field]) => [name, arbitrary(field)] as const);
  return fc.record(Object.fromEntries(fields), { requiredKeys: required });
}

const matches = ({ pattern, minLength = 0, maxLength = Number.POSITIVE_INFINITY }: StructuralSchema, text: string) =>
  text.length >= minLength && text.length <= maxLength && (pattern === undefined || new RegExp(pattern).test(text));
