import type { Client, Connection } from "pg";
import { type KnownEvents, keyText, type Position, type WritePlan } from "../batch.ts";
import { genesis } from "../chain.ts";
import { type Ledger, POOLED, StoreError } from "./ledger.ts";
import {
  binaryArray,
  eventRows,
  writeBytes,
  writeInt2,
  writeInt4,
  writeInt8,
  writeText,
  writeTimestamp,
} from "./postgres-binary.ts";
import { bind, CopyStream, execute, Pipeline, parse } from "./postgres-pipeline.ts";
import { type PostgresConfig, Session } from "./postgres-session.ts";
import { positionStatements, type WriteStatements, writeStatements } from "./postgres-statements.ts";
import { quoteIdentifier } from "./quote.ts";

export interface PostgresLedgerOptions {
  readonly config: PostgresConfig;
  readonly applicationName: string;
  readonly timeoutMs: number;
}

/**
 * The ledger in PostgreSQL: rows, skipped offsets, ids, chain head and next offset in one transaction.
 *
 * A transaction is sent in two parts. The first has every byte: COPY, the rows of `skipped` and `conflicts`, and all
 * parameters of the second, bound to portals. It takes no lock that another sink waits for. The second executes ids,
 * progress and COMMIT: a few hundred bytes in one write, so a client that freezes has sent all of it or nothing. Where an
 * id is there already, or a count is not as predicted, the server raises, skips to the Sync, and COMMIT is never reached.
 */
export class PostgresLedger implements Ledger {
  readonly #statements: WriteStatements;
  readonly #positions: ReturnType<typeof positionStatements>;
  readonly #writer: Session;
  readonly #control: Session;
  #rows = new CopyStream();

  constructor({ config, applicationName, timeoutMs }: PostgresLedgerOptions) {
    const schema = quoteIdentifier(config.schema);
    this.#statements = writeStatements(schema);
    this.#positions = positionStatements(schema);
    const onConnect = (client: Client) => prepare(client, this.#statements);
    this.#writer = new Session({ config, applicationName, timeoutMs, onConnect });
    this.#control = new Session({ config, applicationName: `${applicationName} control`, timeoutMs });
  }

  async open(): Promise<void> {
    await this.#writer.run(async () => undefined);
    const { rows } = await this.#control.run((client) => client.query<{ lacks: string }>(this.#positions.lacking));
    if (rows.length > 0) {
      const lacks = rows.map((row) => row.lacks).join(", ");
      throw new StoreError("Infrastructure", `The login may not write the ledger: it lacks ${lacks}`, {
        code: "42501",
      });
    }
    const { backendPid } = this.#control;
    if (backendPid !== undefined && backendPid === this.#writer.backendPid) {
      throw new StoreError("Infrastructure", "Two sessions have one server process", { code: POOLED });
    }
  }

  async claim(topicId: Buffer, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>> {
    const start = partitions.map((partition) => genesis({ topicId, partition }));
    const values = [topicId, binaryArray("int4", partitions, writeInt4), binaryArray("bytea", start, writeBytes)];
    const { rows } = await this.#control.run((client) => client.query<PositionRow>(this.#positions.claim, values));
    return toPositions(rows);
  }

  async positions(topicId: Buffer, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>> {
    const values = [topicId, binaryArray("int4", partitions, writeInt4)];
    const { rows } = await this.#control.run((client) => client.query<PositionRow>(this.#positions.positions, values));
    if (rows.some((row) => row.replica)) {
      throw new StoreError("Infrastructure", "The server is a replica: its positions may be old");
    }
    return toPositions(rows);
  }

  async known(keys: readonly Buffer[]): Promise<KnownEvents> {
    const values = [binaryArray("uuid", keys, writeBytes)];
    const { rows } = await this.#control.run((client) =>
      client.query<{ key: unknown; sha256: unknown }>(this.#positions.known, values),
    );
    return new Map(
      rows.map(({ key, sha256 }) => [keyText(bytesOf(key, "event_ids.key")), bytesOf(sha256, "event_ids.sha256")]),
    );
  }

  async write(plan: WritePlan): Promise<void> {
    if (plan.advances.length === 0) return;
    try {
      await this.#writer.run((client) => this.#transaction(client, plan));
    } catch (error) {
      // What is still on its way over the old connection keeps its memory.
      this.#rows = new CopyStream();
      throw error;
    }
  }

  async wantMonth(topicId: Buffer, partition: number, month: string): Promise<void> {
    await this.#control.run((client) => client.query(this.#positions.wantMonth, [topicId, partition, month]));
  }

  async close(): Promise<void> {
    await Promise.all([this.#writer.close(), this.#control.close()]);
  }

  async #transaction(client: Client, plan: WritePlan): Promise<void> {
    const portals = ["ids", ...plan.advances.map((_, index) => `advance${index}`), "commit"];
    const send = new Pipeline((connection) => this.#sendAll(connection, plan));
    expectRows(plan, await client.query(send).done);

    const settle = new Pipeline((connection) => {
      for (const portal of portals) execute(connection, portal);
    });
    const tags = await client.query(settle).done;
    if (tags.at(-1) !== "COMMIT") throw new StoreError("Infrastructure", `COMMIT was answered with ${tags.at(-1)}`);
  }

  async #sendAll(connection: Connection, plan: WritePlan): Promise<void> {
    run(connection, "begin");
    if (plan.stored.length > 0) {
      run(connection, "copy");
      await this.#rows.send(connection, plan.stored, eventRows(plan.topicId));
    }
    if (plan.skipped.length > 0) run(connection, "skipped", skippedValues(plan));
    if (plan.conflicts.length > 0) run(connection, "conflicts", conflictValues(plan));
    bind(connection, "ids", "ids", idValues(plan));
    for (const [index, advance] of plan.advances.entries()) {
      const { expected, nextOffset, chain, partition, leaderEpoch } = advance;
      bind(connection, "advance", `advance${index}`, [
        String(nextOffset),
        chain,
        plan.topicId,
        String(partition),
        String(expected.epoch),
        String(expected.nextOffset),
        expected.chain,
        leaderEpoch === undefined ? null : String(leaderEpoch),
      ]);
    }
    bind(connection, "commit", "commit");
  }
}

async function prepare(client: Client, statements: WriteStatements): Promise<void> {
  const pipeline = new Pipeline((connection) => {
    for (const [name, text] of Object.entries(statements)) parse(connection, name, text);
  });
  await client.query(pipeline).done;
}

/** Binds and executes at once, by the unnamed portal. */
function run(
  connection: Connection,
  statement: keyof WriteStatements,
  values: readonly (string | Buffer)[] = [],
): void {
  bind(connection, statement, "", values);
  execute(connection, "");
}

function idValues({ stored }: WritePlan): (string | Buffer)[] {
  return [
    binaryArray("uuid", stored, (writer, { item }) => item.event.writeKey(writer.int32(16))),
    binaryArray("bytea", stored, (writer, { item }) => item.event.writeSha256(writer.int32(32))),
    binaryArray("timestamptz", stored, (writer, { item }) => writeTimestamp(writer, item.recordedAtMs)),
  ];
}

function skippedValues({ topicId, skipped }: WritePlan): (string | Buffer)[] {
  return [
    topicId,
    binaryArray("int4", skipped, (writer, row) => writeInt4(writer, row.partition)),
    binaryArray("int8", skipped, (writer, row) => writeInt8(writer, row.offset)),
    binaryArray("int8", skipped, (writer, row) => writeInt8(writer, row.lastOffset)),
    binaryArray("timestamptz", skipped, (writer, row) => writeTimestamp(writer, row.recordedAtMs)),
    binaryArray("int2", skipped, (writer, row) => writeInt2(writer, row.disposition)),
    binaryArray("text", skipped, (writer, row) => writeText(writer, row.tenant)),
    binaryArray("bytea", skipped, (writer, row) => writeBytes(writer, row.sha256)),
    binaryArray("bytea", skipped, (writer, row) => writeBytes(writer, row.chain)),
  ];
}

function conflictValues({ topicId, conflicts }: WritePlan): (string | Buffer)[] {
  return [
    topicId,
    binaryArray("text", conflicts, (writer, { item }) => writeText(writer, item.event.tenant)),
    binaryArray("text", conflicts, (writer, { item }) => writeText(writer, item.event.source)),
    binaryArray("text", conflicts, (writer, { item }) => writeText(writer, item.event.id)),
    binaryArray("bytea", conflicts, (writer, { item }) => writeBytes(writer, item.event.raw)),
    binaryArray("bytea", conflicts, (writer, { item }) => writeBytes(writer, item.event.headers)),
    binaryArray("bytea", conflicts, (writer, { item }) => writeBytes(writer, item.event.sha256)),
    binaryArray("int4", conflicts, (writer, { partition }) => writeInt4(writer, partition)),
    binaryArray("int8", conflicts, (writer, { item }) => writeInt8(writer, item.offset)),
    binaryArray("timestamptz", conflicts, (writer, { item }) => writeTimestamp(writer, item.recordedAtMs)),
  ];
}

interface PositionRow {
  readonly partition: number;
  readonly epoch: string;
  readonly next_offset: string;
  readonly chain: Buffer;
  readonly leader_epoch: number | null;
  readonly replica?: boolean;
}

/** Somebody may have changed the table under us: no event is to blame, and nothing may be concluded from what is there. */
function bytesOf(value: unknown, column: string): Buffer {
  if (Buffer.isBuffer(value)) return value;
  throw new StoreError("Infrastructure", `Column ${column} is no bytea any more: somebody changed its type`);
}

/** A trigger or rule that leaves rows out is no error to the server: only the counts in its answers tell. */
function expectRows({ stored, skipped, conflicts }: WritePlan, tags: readonly string[]): void {
  const expected = [
    "BEGIN",
    ...(stored.length > 0 ? [`COPY ${stored.length}`] : []),
    ...[skipped, conflicts].flatMap(({ length }) => (length > 0 ? [`INSERT 0 ${length}`] : [])),
  ];
  const wrong = expected.findIndex((tag, index) => tags[index] !== tag);
  if (wrong < 0) return;
  const message = `The server answered ${tags[wrong]} where ${expected[wrong]} was due: does a trigger or rule drop rows?`;
  throw new StoreError("Infrastructure", message);
}

function toPositions(rows: readonly PositionRow[]): ReadonlyMap<number, Position> {
  return new Map(
    rows.map(({ partition, epoch, next_offset, chain, leader_epoch }) => [
      partition,
      {
        epoch: BigInt(epoch),
        nextOffset: BigInt(next_offset),
        chain: bytesOf(chain, "progress.chain"),
        leaderEpoch: leader_epoch ?? undefined,
      },
    ]),
  );
}
