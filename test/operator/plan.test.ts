import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { stringify } from "yaml";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { connectKafka } from "../../operator/external/connect-kafka.ts";
import { apply, isReady, startOperator, until, writeOperatorConfig } from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";

/** `audit-pipeline plan`: says what would happen, and nothing happens. */
const { kafka, postgres18 } = sharedServers();
const servers = { kafka, postgres: postgres18 };
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-plan-"));
const config = writeOperatorConfig(servers);
afterAll(() => {
  config.remove();
  rmSync(folder, { recursive: true, force: true });
});

const namespace = `p${randomUUID().slice(0, 8)}`;
const manifest = (spec: object, inNamespace = namespace) => {
  const file = join(folder, "pipeline.yaml");
  const pipeline = {
    apiVersion: "auditpipeline.io/v1alpha1",
    kind: "AuditPipeline",
    metadata: { name: "audit", namespace: inNamespace },
    spec,
  };
  writeFileSync(file, stringify(pipeline));
  return file;
};

function plan(file: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const main = resolve(import.meta.dirname, "../../operator/main.ts");
  return new Promise((done) =>
    execFile(process.execPath, [main, "plan", "-f", file, "--config", config.file, ...args], (error, stdout, stderr) =>
      done({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr }),
    ),
  );
}

const spec = (over: object = {}) => ({
  topic: { template: { partitions: 2 } },
  sinks: [{ name: "ledger", postgres: {} }],
  workload: { replicas: 0 },
  ...over,
});

test("a new pipeline is planned down to its pods, and nothing of it is made", async () => {
  const { code, stdout } = await plan(manifest(spec()), "-o", "json");
  const { steps, problems } = JSON.parse(stdout) as {
    steps: { system: string; action: string; object: string; destructive: boolean }[];
    problems: unknown[];
  };
  expect({ code, problems }).toEqual({ code: 1, problems: [] });
  const found = steps.map(({ system, action, object }) => `${system} ${action} ${object}`);
  expect(found).toEqual(
    expect.arrayContaining([
      expect.stringContaining(`Kafka CreateTopic ${namespace}.audit (2 partitions`),
      expect.stringContaining(`Kafka CreateTopic ${namespace}.audit.dlq`),
      expect.stringContaining("PostgreSQL CreateDatabase"),
      "Kubernetes Create AuditTopic audit",
      "Kubernetes Create Deployment audit-ledger",
    ]),
  );
  expect(steps.some(({ destructive }) => destructive)).toBe(false);
  expect(stdout).not.toMatch(/SCRAM|password"/);

  const connections = connectKafka();
  const { topics } = connections.to({ name: "default", bootstrapServers: [...kafka.bootstrapServers] });
  expect(await topics.observe(`${namespace}.audit`)).toBeUndefined();
  await connections.close();
});

test("a pipeline that is there has nothing to do; an edit shows its change, a dropped sink what it destroys", async () => {
  const operator = await startOperator(servers);
  const ref = { kind: "AuditPipeline", namespace, name: "audit" };
  const second = { name: "second", postgres: { database: `${namespace}_second` } };
  try {
    await apply(
      operator.store,
      "AuditPipeline",
      "audit",
      namespace,
      spec({ sinks: [{ name: "ledger", postgres: {} }, second] }),
    );
    await until<AuditPipeline>(operator.store, ref, isReady);
    const state = ["--state", operator.stateDir];

    const same = await plan(manifest(spec({ sinks: [{ name: "ledger", postgres: {} }, second] })), ...state);
    expect(same).toMatchObject({ code: 0, stdout: "Nothing to do\n" });

    const edited = await plan(manifest(spec({ topic: { template: { partitions: 5 } } })), ...state);
    expect(edited.code).toBe(1);
    expect(edited.stdout).toContain(`AddPartitions  ${namespace}.audit (2 to 5)`);
    expect(edited.stdout).toMatch(/DropLogin .*_second_writer +DESTRUCTIVE/);
    expect(edited.stdout).not.toContain("DropDatabase");
    const unchanged = await operator.store.get<AuditPipeline>(ref);
    expect(unchanged?.spec.sinks).toHaveLength(2);

    await operator.store.delete(ref);
    await until(operator.store, ref, (object) => object === undefined);
  } finally {
    await operator.stop();
  }
});

test("the smallest pipeline is planned without anything in its way", async () => {
  const fresh = `${namespace}-fresh`;
  const { code, stdout } = await plan(manifest({ topic: {}, sinks: [{ name: "ledger", postgres: {} }] }, fresh));
  expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.not.stringContaining("In the way") });
  expect(stdout).toMatch(new RegExp(`CreateTopic +${fresh}\\.audit \\(12 partitions`));
});

test("what stands in the way is an error, and so is a manifest that is refused", async () => {
  const outside = await plan(manifest(spec({ sinks: [{ name: "ledger", postgres: { database: "others_db" } }] })));
  expect(outside.code).toBe(2);
  expect(outside.stdout).toContain("NameNotAllowed");

  const refused = await plan(manifest(spec({ sinks: [] })));
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("spec.sinks");
});
