import { describe, expect, test } from "vitest";
import { definitions, type StructuralSchema } from "./definition.ts";
import { CONDITIONS, REASONS } from "./v1alpha1/conditions.ts";

interface Place {
  path: string;
  schema: StructuralSchema;
}

function* places(schema: StructuralSchema, path: string): Generator<Place> {
  yield { path, schema };
  for (const [name, property] of Object.entries(schema.properties ?? {})) yield* places(property, `${path}.${name}`);
  if (schema.items !== undefined) yield* places(schema.items, `${path}[]`);
  if (typeof schema.additionalProperties === "object") yield* places(schema.additionalProperties, `${path}{}`);
}

const roots = definitions().map((crd) => {
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema;
  if (schema === undefined) throw new Error(`${crd.metadata.name} has no schema`);
  return { kind: crd.spec.names.kind, schema };
});
const all = roots.flatMap(({ kind, schema }) => [...places(schema, kind)]);
const properties = all.filter(({ path }) => !path.endsWith("}") && !path.endsWith(".metadata"));
const inSpec = properties.filter(({ path }) => path.includes(".spec.") && !path.endsWith("]"));

describe("descriptions", () => {
  test("stand on every property, as sentences", () => {
    expect(properties.length).toBeGreaterThan(100);
    const bare = properties.filter(({ schema }) => !/^[A-Z].*\.$/s.test(schema.description ?? ""));
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  test("say the default of every field of a spec in their second sentence", () => {
    const silent = inSpec.filter(({ schema }) => !/^.+?[.] (Default|Required)\b/.test(schema.description ?? ""));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test("say the default that the schema has", () => {
    const wrong = inSpec.filter(({ schema: { default: value, description } }) => {
      if (value === undefined || typeof value === "object") return false;
      return !new RegExp(`Default ${JSON.stringify(value).replaceAll('"', "")}\\b`).test(description ?? "");
    });
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test("say the effect of a change of every field of a spec", () => {
    const effects =
      /applied live|immutable|restarts? the|can only grow|at deletion|confirm-delete|as AuditTopic says|new sink|Required; \{\}|Default \{\}|Default all defaults/;
    const silent = inSpec.filter(({ schema }) => !effects.test(schema.description ?? ""));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });
});

describe("structural schemas", () => {
  test("know no keyword that the API server forbids", () => {
    const allowed = new Set([
      ...["description", "type", "default", "enum", "properties", "additionalProperties", "items", "required"],
      ...["anyOf", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"],
      ...["maxProperties", "nullable", "format"],
    ]);
    const strange = all.flatMap(({ path, schema }) =>
      Object.keys(schema)
        .filter((key) => !allowed.has(key) && !key.startsWith("x-kubernetes-"))
        .map((key) => `${path}: ${key}`),
    );
    expect(strange).toEqual([]);
    expect(all.filter(({ schema }) => schema.additionalProperties === false)).toEqual([]);
  });

  test("give every place a type, and a union only to integer or string", () => {
    for (const { path, schema } of all) {
      if (schema["x-kubernetes-int-or-string"] === true) {
        expect(schema.anyOf, path).toEqual([{ type: "integer" }, { type: "string" }]);
        expect(schema.type, path).toBeUndefined();
      } else {
        expect(schema.anyOf, path).toBeUndefined();
        expect(schema.type, path).toMatch(/^(string|integer|boolean|object|array)$/);
      }
    }
  });

  test("bound every string, list and map, because the cost of CEL is reckoned from the bounds", () => {
    const unbounded = all.filter(({ path, schema }) => {
      if (/^\w+\.(apiVersion|kind|metadata)$/.test(path)) return false;
      if (schema.type === "string") return schema.maxLength === undefined && schema.enum === undefined;
      if (schema.type === "array") return schema.maxItems === undefined;
      return typeof schema.additionalProperties === "object" && schema.maxProperties === undefined;
    });
    expect(unbounded.map(({ path }) => path)).toEqual([]);
  });

  test("bound every integer of a spec on both sides", () => {
    const unbounded = inSpec.filter(({ schema }) => {
      const { type, minimum, maximum } = schema;
      return type === "integer" && (minimum === undefined || maximum === undefined);
    });
    expect(unbounded.map(({ path }) => path)).toEqual([]);
  });

  test("give every list of objects a list type", () => {
    for (const { path, schema } of all) {
      if (schema.type === "array") expect(schema["x-kubernetes-list-type"], path).toMatch(/^(map|atomic)$/);
    }
  });

  test("use patterns that RE2 has, anchored at both ends", () => {
    const patterns = all.flatMap(({ schema }) => schema.pattern ?? []);
    expect(patterns.length).toBeGreaterThan(20);
    for (const pattern of patterns) {
      expect(pattern).toMatch(/^\^.*\$$/);
      expect(pattern).not.toMatch(/\(\?[=!<]/);
      expect(pattern).not.toMatch(/\\[1-9kbBuxpdwsDWS]/);
    }
  });

  test("give every rule a message of one line that names a fix", () => {
    const rules = all.flatMap(({ schema }) => schema["x-kubernetes-validations"] ?? []);
    expect(rules.length).toBeGreaterThan(30);
    for (const { rule, message } of rules) {
      expect(rule).not.toContain("\n");
      expect(message).toMatch(/^.{10,300}$/);
      expect(message).toMatch(/: |^must be /);
    }
  });
});

describe("conditions and reasons", () => {
  const entries = Object.entries({ ...CONDITIONS, ...REASONS });

  test("are CamelCase words with one sentence each", () => {
    for (const [name, meaning] of entries) {
      expect(name).toMatch(/^[A-Z][A-Za-z]+$/);
      expect(meaning, name).toMatch(/^[A-Z][^\n]{10,}\.$/);
    }
  });

  test("mean each something else", () => {
    expect(new Set(entries.map(([, meaning]) => meaning)).size).toBe(entries.length);
  });
});
