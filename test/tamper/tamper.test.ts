import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, escapeIdentifier } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../stream/random.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { verifyBatch } from "../verify/verifier.ts";
import type { Attack, Forgery } from "./attack.ts";
import { columnAttacks } from "./columns.ts";
import { commit } from "./commit.ts";
import { copier, readSnapshot, type Snapshot } from "./copies.ts";
import { monthAttacks } from "./months.ts";
import { RETENTION_MONTHS, type RealLedger, realLedger } from "./real-ledger.ts";
import { rowAttacks } from "./rows.ts";

// Whoever owns the tables changes them, in every way known; the verifier finds it, and says where it begins. TAMPER_ATTEMPTS
// raises the number of attempts, SEED repeats a run.

const attacks = [...columnAttacks, ...rowAttacks, ...monthAttacks];
const ATTEMPTS = Math.max(Number(process.env["TAMPER_ATTEMPTS"] ?? 0), attacks.length);
const PER_MONTH = 60;

const servers = sharedServers();
const server = servers.postgres18;
const random = new Random(SEED);
const dir = mkdtempSync(join(tmpdir(), "tamper-heads-"));

/** A ledger to attack: the schema that is copied, what is in it, its heads kept outside. */
interface Base {
  readonly snapshot: Snapshot;
  readonly heads: string;
  readonly copy: (schema: string) => Promise<void>;
}
let real: RealLedger;
let client: Client;
let bases: Record<"Whole" | "Dropped", Base>;

beforeAll(async () => {
  real = await realLedger(servers, random, PER_MONTH);
  const { database, schema, owner } = real.fixture.names;
  client = new Client({ host: server.host, port: server.port, database, ...server.superuser });
  await client.connect();
  await (await copier(client, schema, owner))("whole");
  await real.dropOldest();
  bases = { Whole: await base("whole"), Dropped: await base(schema) };
}, 180_000);

afterAll(async () => {
  await client.end();
  await real.remove();
  rmSync(dir, { recursive: true, force: true });
});

async function base(schema: string): Promise<Base> {
  const snapshot = await readSnapshot(client, schema);
  const heads = join(dir, `${schema}.jsonl`);
  const lines = snapshot.rows.map(({ partition, lastOffset, chain }) =>
    JSON.stringify({
      topicId: snapshot.topicId,
      partition,
      nextOffset: lastOffset + 1,
      chain: chain.toString("hex"),
      at: "",
    }),
  );
  writeFileSync(heads, lines.join("\n"));
  return { snapshot, heads, copy: await copier(client, schema, real.fixture.names.owner) };
}

const evidenceOf = ({ heads }: Base): Record<Attack["evidence"], readonly string[]> => ({
  Tables: [],
  Heads: ["--head", heads],
  Log: [
    "--bootstrap",
    servers.kafka.bootstrapServers.join(","),
    "--topic",
    real.topics.source,
    "--dlq",
    real.topics.deadLetters,
    "--complete",
  ],
  Retention: ["--retention", String(RETENTION_MONTHS)],
});

/** Every evidence at once. */
const all = (on: Base) => Object.values(evidenceOf(on)).flat();
const question = (schema: string, evidence: readonly string[]) => ["--url", real.url, "--schema", schema, ...evidence];

test("what nobody touched verifies by every evidence: before and after retention, and as a copy", async () => {
  const { Whole, Dropped } = bases;
  await Whole.copy("clean_whole");
  await Dropped.copy("clean_dropped");
  const verdicts = await verifyBatch([
    question("whole", all(Whole)),
    question(real.fixture.names.schema, all(Dropped)),
    question("clean_whole", all(Whole)),
    question("clean_dropped", all(Dropped)),
  ]);
  expect(verdicts.map(({ problems }) => problems)).toEqual([[], [], [], []]);
  const kinds = Object.keys(verdicts[0]?.partitions[0]?.offsets ?? {});
  expect(kinds.toSorted()).toEqual(["Conflict", "DeadLettered", "Duplicate", "Gone", "Stored"]);
  expect(verdicts[1]?.partitions[0]?.dropped).toBeGreaterThan(10);
});

interface Attempt {
  readonly attack: Attack;
  readonly forgery: Forgery;
  readonly schema: string;
  readonly by: "owner" | "superuser";
  readonly question: string[];
}

test(`every one of ${ATTEMPTS} attempts is found, with the first bad offset (SEED=${SEED})`, {
  timeout: 60_000 + ATTEMPTS * 2_000,
}, async () => {
  const missed: string[] = [];
  const WAVE = 200;
  for (let from = 0; from < ATTEMPTS; from += WAVE) {
    const attempts: Attempt[] = [];
    for (let n = from; n < Math.min(from + WAVE, ATTEMPTS); n += 1) attempts.push(await attempt(n));
    const verdicts = await verifyBatch(attempts.map((made) => made.question));
    for (const [n, made] of attempts.entries()) {
      const { good = true, problems = [] } = verdicts[n] ?? {};
      const wrong = judge(made, good, problems);
      if (wrong !== undefined)
        missed.push(`${made.attack.kind} by ${made.by}: ${wrong}; ${made.forgery.statements.join("; ").slice(0, 300)}`);
    }
    for (const { schema } of attempts) await client.query(`DROP SCHEMA ${schema} CASCADE`);
  }
  expect(missed).toEqual([]);
});

async function attempt(n: number): Promise<Attempt> {
  const attack = attacks[n] ?? random.pick(attacks);
  const on = bases[attack.on ?? random.pick(["Whole", "Dropped"] as const)];
  const by = random.pick(["owner", "superuser"] as const);
  const schema = `tampered_${n}`;
  await on.copy(schema);
  const forgery = attack.make(random, on.snapshot);
  if (by === "owner") await client.query(`SET ROLE ${escapeIdentifier(real.fixture.names.owner)}`);
  try {
    await commit(client, schema, on.snapshot.topicId, forgery);
  } catch (error) {
    throw new Error(`${attack.kind} could not be carried out`, { cause: error });
  } finally {
    await client.query("RESET ROLE");
  }
  return { attack, forgery, schema, by, question: question(schema, evidenceOf(on)[attack.evidence]) };
}

/** What the verifier should have said and did not. */
function judge(
  { forgery: { check, at } }: Attempt,
  isGood: boolean,
  problems: Awaited<ReturnType<typeof verifyBatch>>[number]["problems"],
): string | undefined {
  const said = problems.map((found) => `${found.check} ${found.partition}/${found.offset}`).join(", ");
  if (isGood) return "not found";
  if (at === undefined)
    return problems.some((found) => check.test(found.check)) ? undefined : `found as ${said}, not ${check}`;
  const first = problems.find(({ topicId, partition }) => topicId !== null && partition === at.partition);
  if (first?.offset === at.offset && check.test(first.check)) return undefined;
  return `found as ${said}, not ${check} at ${at.partition}/${at.offset}`;
}
