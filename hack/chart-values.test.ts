import { readFileSync } from "node:fs";
import { Registry } from "@prometheus-io/client";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { kafkaBackend, postgresBackend } from "../operator/config.ts";
import { controllerMetrics } from "../operator/runtime/metrics.ts";
import { sinkMetrics } from "../sink/metrics.ts";
import { chartValues } from "./chart-readme.ts";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const chart = (file: string) => read(`charts/audit-pipeline/${file}`);

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly definitions?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly enum?: readonly string[];
  readonly $ref?: string;
}

const schema = JSON.parse(chart("values.schema.json")) as Schema;
const defaults: unknown = parse(chart("values.yaml"));

/** What the schema says at a path; undefined: no such value may be set. */
function schemaAt(path: string): Schema | undefined {
  return path.split(".").reduce<Schema | undefined>((found, name) => {
    const next = found?.properties?.[name] ?? found?.additionalProperties;
    if (typeof next !== "object") return undefined;
    return next.$ref === undefined ? next : schema.definitions?.[next.$ref.replace("#/definitions/", "")];
  }, schema);
}

const defaultAt = (path: string) =>
  path.split(".").reduce<unknown>((found, name) => (found as Record<string, unknown> | undefined)?.[name], defaults);

function* leaves(from: Schema, path = ""): Generator<string> {
  for (const [name, field] of Object.entries(from.properties ?? {})) {
    const own = path === "" ? name : `${path}.${name}`;
    if (field.properties === undefined) yield own;
    else yield* leaves(field, own);
  }
}

describe("values of the chart", () => {
  const set = chartValues(chart("values.yaml"));

  it.for(set)("$path is documented, and the schema knows it", ({ path, comment }) => {
    expect(comment).toMatch(/\S/);
    expect(schemaAt(path)).toBeDefined();
  });

  it("are all that the schema knows, so that nothing can be set that nobody reads about", () => {
    const documented = (leaf: string) => set.some(({ path }) => leaf === path || leaf.startsWith(`${path}.`));
    expect([...leaves(schema)].filter((leaf) => leaf !== "global" && !documented(leaf))).toEqual([]);
  });

  it("take every setting of a back-end that the operator's configuration has", () => {
    const secrets: Record<string, string> = {
      ...{ clientSecretFile: "clientSecretRef", adminSecretFile: "adminSecretRef", caFile: "caSecretRef" },
    };
    const expected = (shape: object) =>
      Object.keys(shape).flatMap((name) => (name === "name" ? [] : [secrets[name] ?? name]));
    const known = (name: string) => Object.keys(schema.definitions?.[name]?.properties ?? {}).sort();
    expect(known("kafkaBackend")).toEqual(expected(kafkaBackend.shape).sort());
    expect(known("postgresBackend")).toEqual(expected(postgresBackend.shape).sort());
  });
});

describe("the form", () => {
  interface Question {
    readonly variable: string;
    readonly group?: string;
    readonly default?: unknown;
    readonly options?: readonly string[];
    readonly subquestions?: readonly Question[];
  }
  const { questions } = parse(chart("questions.yaml")) as { questions: readonly Question[] };
  const all = questions.flatMap((question) => [question, ...(question.subquestions ?? [])]);

  it("has its groups in order", () => {
    const groups = questions.map(({ group }) => group);
    expect([...new Set(groups)]).toEqual(["General", "Kafka", "Retention", "Image", "Scaling"]);
  });

  it.for(all)("asks for $variable as the chart knows it", ({ variable, default: fallback, options }) => {
    const found = schemaAt(variable) ?? (defaultAt(variable) === undefined ? undefined : {});
    expect(found).toBeDefined();
    if (options !== undefined) expect(found?.enum).toEqual(options);
    if (fallback !== undefined && !variable.startsWith("backends.")) expect(defaultAt(variable)).toEqual(fallback);
  });
});

describe("versions", () => {
  const { version } = JSON.parse(read("package.json")) as { version: string };

  it("are one", () => {
    const found = parse(chart("Chart.yaml")) as {
      version: string;
      appVersion: string;
      annotations: Record<string, string>;
    };
    expect([found.version, found.appVersion]).toEqual([version, version]);
    expect(found.annotations["artifacthub.io/images"]).toContain(`audit-pipeline-operator:${version}`);
    expect(read("config/manager/deployment.yaml")).toContain(`image: audit-pipeline-operator:${version}\n`);
  });
});

describe("alerts", () => {
  const { spec } = parse(read("config/prometheus/rules.yaml")) as {
    spec: { groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[] };
  };
  const rules = spec.groups.flatMap(({ rules }) => rules);
  const registry = new Registry();
  controllerMetrics(registry);
  const none = () => [];
  const sink = sinkMetrics(
    { namespace: "n", name: "p", sink: "s" },
    {
      queued: () => 0,
      partitions: none,
      kafkaTrouble: none,
      storeTrouble: none,
    },
  ).registry;
  const exported = [registry, sink].flatMap((one) => one.getMetricsAsArray());

  it.for(rules)("$alert asks for metrics that are exported, by labels they have", ({ expr }) => {
    const asked = [...expr.matchAll(/\b((?:audit|circuit|controller_runtime|workqueue)_[a-z_]+)(?:\{([^}]*)\})?/g)];
    expect(asked.length).toBeGreaterThan(0);
    for (const [, name = "", labels = ""] of asked) {
      const metric = exported.find((one) => one.name === name.replace(/_bucket$/, ""));
      expect(metric, name).toBeDefined();
      const known = (metric as unknown as { labelNames: readonly string[] }).labelNames;
      for (const [, label] of labels.matchAll(/(\w+)=/g)) expect(known).toContain(label);
    }
  });

  it.for(rules)("$alert is explained", ({ alert, annotations }) => {
    expect(annotations["summary"]).toMatch(/\S/);
    expect(read("docs/alerts.md")).toContain(`## ${alert}\n`);
  });
});
