import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "./demo/command.ts";
import { headersOf } from "./demo/dead-letters.ts";
import { CONFLICTING_ID, DELICATE, demoEvents, producerLine } from "./demo/events.ts";
import { type KafkaTools, kafkaTools } from "./demo/kafka-tools.ts";
import { connects, type Ledger, openLedger } from "./demo/ledger.ts";
import { manifests, startOperator, state } from "./demo/operator.ts";
import { chapter, expectEqual, show, table } from "./demo/report.ts";
import { type DemoServers, demoServers, takeDemoFolder } from "./demo/servers.ts";
import { stateFolder } from "./servers/registry.ts";
import { withProgress } from "./servers/run.ts";

/**
 * The main job, seen from outside: nothing here comes from operator/ or sink/, only the project's commands, Kafka's own
 * tools and a PostgreSQL client. Ends with 1 where anything is not as promised.
 */

const NAMESPACE = "team-a";
const TOPIC = "team-a.payments";
const DLQ = "team-a.payments.dlq";
const { sent, ...promised } = demoEvents(1_000);

const auditPipeline = (...args: string[]) =>
  command("audit-pipeline", [...args, "-n", NAMESPACE], { AUDIT_PIPELINE_STATE: state });

await main((process.env["KEEP"] ?? "") !== "").catch((error: unknown) => {
  console.error(`\nDemo failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});

async function main(keep: boolean): Promise<void> {
  const started = Date.now();
  const lifetime = keep ? "detached" : "parent";
  takeDemoFolder();
  chapter("Kafka, PostgreSQL and the operator");
  const servers = await withProgress("Starting Kafka and PostgreSQL", () => demoServers(process.env, lifetime));
  const operator = await withProgress("Starting the operator on copies of config/samples", () =>
    startOperator(servers, lifetime),
  ).catch(async (error: unknown) => {
    await servers.stop();
    throw error;
  });
  let stopping: Promise<void> | undefined;
  const stopAll = () => {
    stopping ??= operator.stop().then(() => servers.stop());
    return stopping;
  };
  // A terminal and make may both send the signal: stopping goes on to its end all the same.
  for (const name of ["SIGINT", "SIGTERM"]) {
    process.on(name, () => void withProgress("Stopping everything", stopAll).finally(() => process.exit(130)));
  }

  const passed = await demo(servers, keep).then(
    () => true,
    (error: unknown) => {
      console.error(`\nDemo failed: ${error instanceof Error ? error.message : String(error)}`);
      console.error(readFileSync(join(stateFolder, "demo/operator.log"), "utf8").split("\n").slice(-15).join("\n"));
      return false;
    },
  );
  if (passed && keep) await keepRunning(servers);
  else await withProgress("Stopping everything", stopAll);
  if (!passed) process.exitCode = 1;
  else console.log(`\nDemo passed in ${Math.round((Date.now() - started) / 1000)} s`);
}

async function demo(servers: DemoServers, keep: boolean): Promise<void> {
  const tools = await kafkaTools(servers.bootstrapServers);
  await becomeReady();
  const ledger = await openLedger(await uriOf("payments-ledger-reader"));
  try {
    await produce(tools, ledger);
    await lookAtRows(ledger);
    await lookAtDeadLetters(tools);
    await verifyChain(servers);
    if (!keep) await deletePipeline(tools, ledger);
  } finally {
    await ledger.close();
  }
}

async function becomeReady(): Promise<void> {
  chapter("The manifests become a topic, a ledger and sinks");
  await auditPipeline("wait", "audittopic/payments", "--for=condition=Ready", "--timeout", "60s");
  await auditPipeline("wait", "auditpipeline/payments", "--for=condition=Ready", "--timeout", "90s");
  show(await auditPipeline("get", "audittopic"));
  show(await auditPipeline("get", "auditpipeline"));
}

async function produce(tools: KafkaTools, ledger: Ledger): Promise<void> {
  chapter("Events: valid, repeated, altered under the same id, malformed, and one that JSON libraries alter");
  await withProgress(`Producing ${sent.length} events with Kafka's console producer`, () =>
    tools.produce(TOPIC, sent.map(producerLine)),
  );
  await withProgress("Waiting until every offset is accounted for", () => ledger.settled(sent.length));
  show(await auditPipeline("status", "payments"));
}

async function lookAtRows(ledger: Ledger): Promise<void> {
  chapter("What is in the ledger");
  expectEqual("rows", await ledger.count("events"), promised.stored);
  const [distinct] = await ledger.rows("SELECT count(DISTINCT (tenant, source, id))::int AS ids FROM audit.events");
  expectEqual("different ids among them", distinct?.["ids"], promised.stored);
  const [repeated] = await ledger.rows("SELECT count(*)::int AS n FROM audit.skipped WHERE disposition = 1");
  expectEqual("repeated events passed over", repeated?.["n"], promised.duplicates);
  expectEqual("conflicts kept", await ledger.count("conflicts"), promised.conflicts);

  const outcome = "convert_from(raw, 'UTF8')::json->'data'->>'outcome' AS outcome";
  const both = `SELECT 'events' AS kept_in, id, ${outcome} FROM audit.events WHERE id = $1
    UNION ALL SELECT 'conflicts', id, ${outcome} FROM audit.conflicts`;
  table(await ledger.rows(both, [CONFLICTING_ID]));
  const [delicate] = await ledger.rows("SELECT encode(raw, 'hex') AS raw FROM audit.events WHERE id = $1", [
    DELICATE.key,
  ]);
  const bytes = Buffer.from(DELICATE.value).toString("hex");
  expectEqual("the delicate event is stored byte for byte", delicate?.["raw"] === bytes, true);
  table(
    await ledger.rows("SELECT id, occurred_at, actor_id, action, outcome FROM audit.audit_events ORDER BY id LIMIT 3"),
  );
}

async function lookAtDeadLetters(tools: KafkaTools): Promise<void> {
  chapter("What could not be stored, and why");
  const count = promised.deadLetters.length;
  const lines = await withProgress("Reading the dead-letter topic", () => tools.consume(DLQ, count));
  const letters = lines.map(headersOf).map((headers) => ({
    partition: headers["audit-source-partition"],
    offset: headers["audit-source-offset"],
    class: headers["audit-error-class"],
    reason: headers["audit-error-reason"] ?? "",
    detail: headers["audit-error-detail"],
  }));
  table(letters);
  const reasons = letters.map(({ reason }) => reason).sort((a, b) => a.localeCompare(b));
  expectEqual("reasons", reasons, promised.deadLetters);
}

async function verifyChain(servers: DemoServers): Promise<void> {
  chapter("The chain, checked by an independent verifier (Java) against Kafka's own log");
  const log = ["--bootstrap", servers.bootstrapServers, "--topic", TOPIC, "--dlq", DLQ, "--complete"];
  const env = { POSTGRES_READER_URL: await uriOf("payments-ledger-reader") };
  show(await withProgress("Verifying", () => command("verify/verify", log, env)));
}

async function deletePipeline(tools: KafkaTools, ledger: Ledger): Promise<void> {
  chapter("Deleting the pipeline: what goes and what stays");
  const writer = await uriOf("payments-ledger-writer");
  expectEqual("the writer's login is let in before", await connects(writer), true);
  rmSync(join(manifests, "audit-pipeline.yaml"));
  await withProgress("Deleting", () =>
    auditPipeline("wait", "auditpipeline/payments", "--for=delete", "--timeout", "90s"),
  );
  showReceipt();
  const kept = (await tools.topics()).filter((name) => name.startsWith(TOPIC)).sort((a, b) => a.localeCompare(b));
  expectEqual("topics kept", kept, [TOPIC, DLQ]);
  expectEqual("rows kept", await ledger.count("events"), promised.stored);
  expectEqual("the writer's login is let in after", await connects(writer), false);
  const pods = JSON.parse(await auditPipeline("get", "pods", "-o", "json")) as { items: unknown[] };
  expectEqual("pods left", pods.items.length, 0);
}

function showReceipt(): void {
  const path = join(state, "receipts", `${NAMESPACE}.payments.json`);
  const { items } = JSON.parse(readFileSync(path, "utf8")) as { items: Record<string, string>[] };
  show(`Receipt: ${path}`);
  table(items.map(({ kind, name, action, reason }) => ({ kind, name, action, reason })));
  const actionOf = (kind: string, name: string) =>
    items.find((item) => item["kind"] === kind && item["name"] === name)?.["action"];
  expectEqual("database", actionOf("PostgresDatabase", "team-a_payments"), "Retained");
  expectEqual("writer's login", actionOf("PostgresRole", "team-a_payments_writer"), "Deleted");
  expectEqual("sinks", actionOf("Deployment", "payments-ledger"), "Deleted");
  expectEqual("writer's Secret", actionOf("Secret", "payments-ledger-writer"), "Deleted");
}

/** The login a Secret holds, as a connection string. */
async function uriOf(secret: string): Promise<string> {
  const { data } = JSON.parse(await auditPipeline("get", "secret", secret, "-o", "json")) as { data: { uri: string } };
  return Buffer.from(data.uri, "base64").toString();
}

async function keepRunning({ bootstrapServers, postgres }: DemoServers): Promise<void> {
  const { host, port, user, password } = postgres;
  const lines = [
    `KAFKA_BOOTSTRAP_SERVERS=${bootstrapServers}`,
    `POSTGRES_ADMIN_URL=postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/postgres`,
    `POSTGRES_READER_URL=${await uriOf("payments-ledger-reader")}`,
    `TOPIC=${TOPIC}`,
    `DLQ_TOPIC=${DLQ}`,
    `AUDIT_PIPELINE_STATE=${state}`,
  ];
  writeFileSync(join(stateFolder, "env"), `${lines.join("\n")}\n`, { mode: 0o600 });
  chapter("Everything is left running");
  show(`Connect:             set -a; . .servers/env; set +a
Look at resources:   hack/audit-pipeline get auditpipeline -n ${NAMESPACE}
Verify the chain:    hack/verify/verify --bootstrap $KAFKA_BOOTSTRAP_SERVERS --topic $TOPIC --dlq $DLQ_TOPIC
Change a manifest:   ${manifests}
Stop and remove:     make servers-down`);
}
