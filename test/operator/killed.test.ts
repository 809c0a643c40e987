import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { run } from "../../hack/servers/run.ts";
import { Random } from "../stream/random.ts";
import { writeOperatorConfig } from "../support/operator.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";

/**
 * The operator as a process, killed with -9 again and again while it makes a pipeline and while it takes one down. Each
 * life is too short to finish; the last one must find what the others left, double nothing and miss nothing.
 */
const root = resolve(import.meta.dirname, "../..");
const { kafka, postgres18 } = sharedServers();
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-killed-"));
const [manifests, state] = [join(folder, "manifests"), join(folder, "state")];
const config = writeOperatorConfig({ kafka, postgres: postgres18 });
afterAll(() => {
  config.remove();
  rmSync(folder, { recursive: true, force: true });
});

const namespace = `k${randomUUID().slice(0, 8)}`;
const random = new Random(SEED);

function start(): ChildProcess {
  const args = [
    join(root, "operator/main.ts"),
    "standalone",
    "-f",
    manifests,
    "--state",
    state,
    "--config",
    config.file,
  ];
  const log = openSync(join(folder, "operator.log"), "a");
  return spawn(process.execPath, args, { stdio: ["ignore", log, log] });
}

async function end(operator: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (operator.exitCode !== null || operator.signalCode !== null) return;
  const gone = new Promise((done) => operator.once("exit", done));
  operator.kill(signal);
  await gone;
}

/** Lives from the moment the process starts: most of the first second is start-up, so later is where it hurts. */
async function livesAndDies(lives: number): Promise<void> {
  for (let life = 0; life < lives; life++) {
    const operator = start();
    await sleep(900 + random.below(1_600));
    await end(operator, "SIGKILL");
  }
}

const cli = (...args: string[]) =>
  run(process.execPath, [join(root, "operator/main.ts"), ...args, "-n", namespace, "--state", state]);

/** Sink processes of this state folder, by what their environment says. */
const sinkProcesses = () =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        const uid = /(?:^|\0)POD_UID=([^\0]+)/.exec(environment)?.[1];
        return uid !== undefined && environment.includes(`POD_NAMESPACE=${namespace}`) ? [uid] : [];
      } catch {
        return [];
      }
    });

test(`killed at random (SEED=${SEED}) it still makes everything once, and takes it down`, async () => {
  mkdirSync(manifests);
  const pipeline = {
    apiVersion: "auditpipeline.io/v1alpha1",
    kind: "AuditPipeline",
    metadata: { name: "audit", namespace },
    spec: {
      topic: { template: { partitions: 2 } },
      sinks: [{ name: "ledger", postgres: {} }],
      workload: { replicas: 2 },
    },
  };
  writeFileSync(join(manifests, "pipeline.yaml"), stringify(pipeline));

  // A folder with nothing in it would be taken for one that is not mounted, and nothing would be removed.
  const other = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "stays", namespace }, data: { a: "b" } };
  writeFileSync(join(manifests, "other.yaml"), stringify(other));

  await livesAndDies(5);
  const last = start();
  try {
    await cli("wait", "auditpipeline/audit", "--for=condition=Ready", "--timeout", "90s");
    const pods = JSON.parse(await cli("get", "pods", "-o", "json")) as { items: { metadata: { uid: string } }[] };
    expect(pods.items).toHaveLength(2);
    expect(sinkProcesses().sort()).toEqual(pods.items.map(({ metadata }) => metadata.uid).sort());
  } finally {
    await end(last, "SIGKILL");
  }

  rmSync(join(manifests, "pipeline.yaml"));
  await livesAndDies(3);
  const undertaker = start();
  try {
    await cli("wait", "auditpipeline/audit", "--for=delete", "--timeout", "90s");
    for (const kind of ["deployments", "pods", "secrets", "audittopics"]) {
      const { items } = JSON.parse(await cli("get", kind, "-o", "json")) as { items: unknown[] };
      expect(items, kind).toEqual([]);
    }
    const receipt = JSON.parse(readFileSync(join(state, "receipts", `${namespace}.audit.json`), "utf8")) as {
      items: { kind: string; action: string }[];
    };
    const actionsOf = (kind: string) => receipt.items.filter((item) => item.kind === kind).map(({ action }) => action);
    expect(actionsOf("PostgresDatabase")).toEqual(["Retained"]);
    expect(actionsOf("Topic")).toEqual(["Retained", "Retained"]);
    expect(actionsOf("Deployment")).toEqual(["Deleted"]);
    expect(sinkProcesses()).toEqual([]);
  } finally {
    await end(undertaker, "SIGTERM");
  }
}, 300_000);
