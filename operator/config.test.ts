import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, kafkaBackend, loadOperatorConfig, operatorConfig, postgresBackend } from "./config.ts";

const file = (text: string) => {
  const path = join(mkdtempSync(join(tmpdir(), "operator-config-")), "config.yaml");
  writeFileSync(path, text);
  return path;
};

const problems = (path: string | undefined, env: Record<string, string> = {}) => {
  try {
    loadOperatorConfig(path, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

test("every field is documented", () => {
  const text = readFileSync(join(import.meta.dirname, "../docs/operator-configuration.md"), "utf8");
  const fields = [operatorConfig, kafkaBackend, postgresBackend].flatMap(({ shape }) => Object.keys(shape));
  expect(fields.filter((field) => !text.includes(`\`${field}`) && !text.includes(`${field}:`))).toEqual([]);
});

describe("loadOperatorConfig", () => {
  test("puts the environment over the file over the defaults", () => {
    const path = file(
      "logLevel: warn\nclusterId: from-file\nbackends: {kafka: [{name: default, bootstrapServers: ['b:9092']}]}\n",
    );
    const config = loadOperatorConfig(path, {
      AUDIT_PIPELINE__CLUSTER_ID: "from-env",
      AUDIT_PIPELINE__ADMIN__PORT: "9999",
    });
    expect(config).toMatchObject({ logLevel: "warn", clusterId: "from-env", admin: { port: 9999, host: "0.0.0.0" } });
    expect(config.backends.kafka[0]).toMatchObject({ namePrefix: "{namespace}.", replicationFactor: 1 });
  });

  test("takes lists from the environment as YAML", () => {
    expect(loadOperatorConfig(undefined, { AUDIT_PIPELINE__WATCH_NAMESPACES: "[a, b]" }).watchNamespaces).toEqual([
      "a",
      "b",
    ]);
  });

  test("lists every problem at once, each with its path", () => {
    const path = file(
      "logLevel: loud\nbackends: {kafka: [{name: default, bootstrapServers: ['no port'], speed: 1}]}\n",
    );
    const found = problems(path).join("\n");
    expect(found).toContain("logLevel");
    expect(found).toContain("backends.kafka.0.bootstrapServers.0");
    expect(found).toContain('"speed"');
  });

  test.for([
    {
      name: "an unknown environment name",
      path: () => undefined,
      env: { AUDIT_PIPELINE__LOGLEVELS: "x" },
      says: "LOGLEVELS",
    },
    { name: "a missing file", path: () => "/nonexistent/config.yaml", env: {}, says: "ENOENT" },
    { name: "a file that is not YAML", path: () => file("a: [\n"), env: {}, says: "config.yaml" },
    { name: "a file that holds no mapping", path: () => file("[1]\n"), env: {}, says: "mapping" },
    {
      name: "a namePrefix that lets one namespace into another's names",
      path: () => file("backends: {kafka: [{name: a, bootstrapServers: ['b:1'], namePrefix: 'audit-{namespace}'}]}\n"),
      env: {},
      says: "followed by",
    },
    {
      name: "two back-ends of one name",
      path: () =>
        file("backends: {kafka: [{name: a, bootstrapServers: ['b:1']}, {name: a, bootstrapServers: ['c:1']}]}\n"),
      env: {},
      says: "same name",
    },
  ])("refuses $name", ({ path, env, says }) => {
    expect(problems(path(), env as Record<string, string>).join("\n")).toContain(says);
  });
});
