import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "./config-load.ts";

const document = {
  pipeline: { namespace: "acme", name: "payments", sink: "pg" },
  kafka: { bootstrapServers: ["file:9092"] },
  source: { topic: "acme.payments", groupId: "g" },
  store: { postgres: { host: "file", database: "d", user: "u", password: "p" } },
};

function file(content: unknown): string {
  const path = join(mkdtempSync(join(tmpdir(), "sink-config-")), "config.yaml");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}
const load = (environment: Record<string, string>, content: unknown = document) =>
  loadConfig({ CONFIG_PATH: file(content), ...environment });

function problemsOf(environment: Record<string, string>, content: unknown = document): readonly string[] {
  try {
    load(environment, content);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe("loadConfig", () => {
  test("puts the environment over the file, and the file over defaults", () => {
    const config = load({ AUDIT_SINK__STORE__POSTGRES__HOST: "env", AUDIT_SINK__DELIVERY__RETRY__MAX: "9000" });
    expect(config.store.postgres).toMatchObject({ host: "env", user: "u", port: 5432, sslMode: "VerifyFull" });
    expect(config.delivery).toMatchObject({ batchSize: 5_000, retry: { initial: 2_000, max: 9_000 } });
  });

  test.for([
    ["AUDIT_SINK__KAFKA__BOOTSTRAP_SERVERS", "a:1, b:2", ["a:1", "b:2"]],
    ["AUDIT_SINK__KAFKA__BOOTSTRAPSERVERS", "a:1", ["a:1"]],
    ["AUDIT_MANAGER__KAFKA__BOOTSTRAP_SERVERS", "a:1", ["a:1"]],
  ] as const)("%s is kafka.bootstrapServers", ([name, value, wanted]) => {
    expect(load({ [name]: value }).kafka.bootstrapServers).toEqual(wanted);
  });

  test("takes the names of earlier systems, in their units, unless our own says otherwise", () => {
    const config = load({
      DB_HOST: "old",
      DB_PORT: "6000",
      DB_PASSWORD: "0123",
      AUDIT_FLUSH_INTERVAL_SECONDS: "0.5",
      AUDIT_BATCH_SIZE: "77",
      AUDIT_SINK__STORE__POSTGRES__PORT: "7000",
      AUDIT_OPENSEARCH_HOST: "another store's",
    });
    expect(config.store.postgres).toMatchObject({ host: "old", port: 7_000, password: "0123" });
    expect(config.delivery).toMatchObject({ flushInterval: 500, batchSize: 77 });
  });

  test.for([
    ["warning", "warn"],
    ["critical", "error"],
    ["trace", "debug"],
    ["INFO", "info"],
    ["Debug", "debug"],
  ] as const)("UVICORN_LOG_LEVEL %s is logLevel %s", ([name, level]) => {
    expect(load({ UVICORN_LOG_LEVEL: name }).logLevel).toBe(level);
  });

  test("an unknown log level is refused by its name", () => {
    expect(problemsOf({ UVICORN_LOG_LEVEL: "constructor" }).join()).toContain("UVICORN_LOG_LEVEL");
  });

  test.for([
    ["0.29", 290],
    ["1.001", 1_001],
    ["8.2", 8_200],
    ["2.3", 2_300],
  ] as const)("%s seconds are %s milliseconds", ([seconds, ms]) => {
    expect(load({ AUDIT_FLUSH_INTERVAL_SECONDS: seconds }).delivery.flushInterval).toBe(ms);
  });

  test.for([
    "AUDIT_ENABLED",
    "UVICORN_WORKERS",
    "AUDIT_RETRY_ATTEMPTS",
    "AUDIT_MANAGER__DATABASE__PARTITION_RETENTION_MONTHS",
  ])("refuses %s and says what to do instead", (name) => {
    const [problem] = problemsOf({ [name]: "1" });
    expect(problem).toMatch(new RegExp(`^${name}: .{20}`));
  });

  test("names every problem with its path and its variable, never the value", () => {
    const problems = problemsOf(
      {
        AUDIT_SINK__DELIVERY__BATCH_SIZE: "s3cret",
        AUDIT_SINK__KAFKA: "x",
        AUDIT_SINK__NO__SUCH: "x",
        AUDIT_SINK__ADMIN__PORT: "70000",
      },
      { ...document, extra: 1, source: { topic: "t" } },
    ).join("\n");
    for (const part of [
      "delivery.batchSize (from AUDIT_SINK__DELIVERY__BATCH_SIZE)",
      "AUDIT_SINK__KAFKA:",
      "AUDIT_SINK__NO__SUCH",
      "admin.port",
      "source.groupId",
      "extra",
    ]) {
      expect(problems).toContain(part);
    }
    expect(problems).not.toContain("s3cret");
  });

  test.for([
    ["no file", { CONFIG_PATH: "/nowhere/config.yaml" }, "CONFIG_PATH"],
    ["a file that is a list", { CONFIG_PATH: file("- a") }, "CONFIG_PATH"],
    ["a file that is no YAML", { CONFIG_PATH: file("a: [") }, "CONFIG_PATH"],
    ["a prototype's name", { AUDIT_SINK__CONSTRUCTOR: "x" }, "AUDIT_SINK__CONSTRUCTOR"],
  ] as const)("refuses %s", ([, environment, wanted]) => {
    expect(problemsOf(environment)[0]).toContain(wanted);
  });
});
