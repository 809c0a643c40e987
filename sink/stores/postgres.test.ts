import { randomBytes, randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { auditEvent, logRecord } from "../../test/support/cloud-events.ts";
import { deadLetterItem, eventItem, itemOf } from "../../test/support/items.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../../test/support/ledger-database.ts";
import { encodeHeaders } from "../../test/support/reference-chain.ts";
import { type Pg, sharedServers } from "../../test/support/servers.ts";
import { type TcpProxy, tcpProxy } from "../../test/support/tcp-proxy.ts";
import { type Item, keyText, type PartitionItems, type Position, planBatch, type WritePlan } from "../batch.ts";
import { genesis, uuidBytes } from "../chain.ts";
import { INDEXED_TEXT_MAX_BYTES } from "../text.ts";
import { StoreError } from "./ledger.ts";
import { PostgresLedger } from "./postgres.ts";

describe.for([15, 18] as const)("PostgreSQL %s", (major) => {
  const servers = sharedServers();
  const server: Pg = major === 15 ? servers.postgres15 : servers.postgres18;
  let database: LedgerDatabase;
  let reader: pg.Client;
  const open: { close(): Promise<void> }[] = [];
  let topicId: Buffer;

  beforeAll(async () => {
    const name = `sink_store_${randomUUID().slice(0, 8)}`;
    database = await createLedgerDatabase(server, { name, months: ["2026-11-01"] });
    reader = await database.connect(database.reader);
  });
  afterAll(async () => {
    await reader.end();
    await database.drop();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  });

  async function ledger(name = "a", at: { port: number } = server, timeoutMs = 20_000): Promise<PostgresLedger> {
    topicId ??= uuidBytes(randomUUID());
    const config = {
      host: server.host,
      port: at.port,
      database: database.name,
      schema: "audit",
      ...database.writer,
      sslMode: "Disable",
    } as const;
    const made = new PostgresLedger({ config, applicationName: `audit-sink/${name}`, timeoutMs });
    open.push(made);
    await made.open();
    return made;
  }

  async function proxy(): Promise<TcpProxy> {
    const made = await tcpProxy(server);
    open.push(made);
    return made;
  }

  /** Every test has a topic of its own. */
  function newTopic(): void {
    topicId = uuidBytes(randomUUID());
  }

  const claimOne = async (store: PostgresLedger, partition = 0): Promise<Position> => {
    const position = (await store.claim(topicId, [partition])).get(partition);
    if (position === undefined) throw new Error("Nothing claimed");
    return position;
  };
  const part = (position: Position, items: readonly Item[], partition = 0): PartitionItems => ({
    partition,
    position,
    items,
  });
  const plan = (...parts: PartitionItems[]): WritePlan => planBatch(topicId, parts, new Map());
  const after = ({ epoch }: Position, written: WritePlan, index = 0): Position => {
    const advance = written.advances[index];
    if (advance === undefined) throw new Error("Nothing advanced");
    return { epoch, nextOffset: advance.nextOffset, chain: advance.chain };
  };
  const failure = async (work: Promise<unknown>): Promise<StoreError> => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof StoreError)) throw new Error(`Expected a StoreError, got ${String(error)}`);
    return error;
  };
  const rowsOf = async (table: string) =>
    (await reader.query(`SELECT * FROM audit.${table} WHERE topic_id = $1 ORDER BY partition, "offset"`, [topicId]))
      .rows;
  const unique = () => randomUUID();

  test("a partition never seen starts at 0 with the genesis chain, and each claim has a higher epoch", async () => {
    newTopic();
    const store = await ledger();
    expect(await claimOne(store, 3)).toEqual({ epoch: 1n, nextOffset: 0n, chain: genesis({ topicId, partition: 3 }) });
    expect((await claimOne(store, 3)).epoch).toBe(2n);
    expect((await store.positions(topicId, [3, 4])).size).toBe(1);
  });

  test("an event older than the retention is passed over though its month has no table; without one it is missed", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const old = { ...eventItem(0, unique()), recordedAtMs: BigInt(Date.UTC(1999, 0, 1)) };
    const error = await failure(store.write(plan(part(position, [old]))));
    expect(error.kind).toBe("MissingMonth");
    await store.write(planBatch(topicId, [part(position, [old])], new Map(), BigInt(Date.UTC(2000, 0, 1))));
    expect(await rowsOf("skipped")).toMatchObject([{ disposition: 5, offset: "0", last_offset: "0" }]);
    expect(await store.known([old.event.key])).toEqual(new Map());
    expect((await store.positions(topicId, [0])).get(0)).toMatchObject({ nextOffset: 1n });
  });

  test("everything stored is what came, byte for byte", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const raw =
      `{"specversion":"1.0","id":"${unique()}","source":"/ü","type":"t","subject":"\\u00e4\\n😀".replaceAll,`
        .replace(".replaceAll,", ",")
        .replace("\\n", "") +
      `"time":"1969-12-31T23:59:59.999999Z","data":{"actor":{"id":"'\\"\\\\x\\t"},"action":"a","outcome":"denied","n":9007199254740993,"d":1.10}}`;
    const headers = [
      ["h", Buffer.from([0, 255, 10, 92])],
      ["h", null],
      ["", Buffer.alloc(0)],
    ] as const;
    const item = itemOf(logRecord(raw, { headers, timestamp: Date.parse("2026-11-30T23:59:59.999Z") }));
    const written = plan(part(position, [item]));
    await store.write(written);

    const [row] = await rowsOf("events");
    expect(row.raw).toEqual(Buffer.from(raw));
    expect(row.headers).toEqual(encodeHeaders(headers));
    expect(row).toMatchObject({
      source: "/ü",
      subject: "ä😀",
      actor_id: `'"\\x\t`,
      outcome: "denied",
      tenant: "acme",
      partition: 0,
      offset: "0",
    });
    expect(row.chain).toEqual(written.advances[0]?.chain);
    const exact = await reader.query(
      `SELECT details::text AS details, extract(epoch FROM event_time)::text AS event_time, extract(epoch FROM recorded_at)::text AS recorded_at
       FROM audit.events WHERE topic_id = $1`,
      [topicId],
    );
    expect(exact.rows[0]).toMatchObject({ event_time: "-0.000001", recorded_at: "1796083199.999000" });
    expect(exact.rows[0].details).toContain("9007199254740993");
    expect(exact.rows[0].details).toContain("1.10");
  });

  test("stored, skipped, conflicting and gone offsets are written with the position, together", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const id = unique();
    const gone: Item = { kind: "Gone", offset: 4n, lastOffset: 9n };
    const items = [
      eventItem(0, id),
      eventItem(1, id),
      eventItem(2, id, "x"),
      deadLetterItem(3),
      gone,
      eventItem(10, unique()),
    ];
    const written = plan(part(position, items));
    await store.write(written);

    expect((await rowsOf("events")).map((row) => row.offset)).toEqual(["0", "10"]);
    expect(
      (await rowsOf("skipped")).map(({ offset, last_offset, disposition, recorded_at }) => [
        offset,
        last_offset,
        disposition,
        recorded_at === null,
      ]),
    ).toEqual([
      ["1", "1", 1, false],
      ["2", "2", 2, false],
      ["3", "3", 3, false],
      ["4", "9", 6, true],
    ]);
    expect((await rowsOf("conflicts")).map((row) => [row.offset, row.id])).toEqual([["2", id]]);
    expect((await store.positions(topicId, [0])).get(0)).toEqual(after(position, written));
  });

  test("an id that is there already fails the whole batch, and known() says with which hash", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const first = eventItem(0, unique());
    const one = plan(part(position, [first]));
    await store.write(one);
    const next = after(position, one);

    const again = eventItem(1, first.event.id, "other");
    expect((await failure(store.write(plan(part(next, [again, eventItem(2, unique())]))))).kind).toBe("Mispredicted");
    expect((await rowsOf("events")).length).toBe(1);
    const known = await store.known([again.event.key, eventItem(9, unique()).event.key]);
    expect([...known]).toEqual([[keyText(first.event.key), first.event.sha256]]);

    await store.write(planBatch(topicId, [part(next, [again])], known));
    expect((await rowsOf("conflicts")).length).toBe(1);
  });

  test("the same id in two partitions at the same time is stored once", async () => {
    newTopic();
    const [a, b] = [await ledger("a"), await ledger("b")];
    const id = unique();
    const plans = [
      plan(part(await claimOne(a, 0), [eventItem(0, id)], 0)),
      plan(part(await claimOne(b, 1), [eventItem(0, id)], 1)),
    ];
    const results = await Promise.allSettled([a.write(plans[0] as WritePlan), b.write(plans[1] as WritePlan)]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect((await rowsOf("events")).length).toBe(1);
  });

  test("writers of the same ids in opposite order never deadlock", async () => {
    newTopic();
    const [a, b] = [await ledger("a"), await ledger("b")];
    for (let round = 0; round < 10; round += 1) {
      newTopic();
      const ids = Array.from({ length: 200 }, unique);
      const items = ids.map((id, offset) => eventItem(offset, id));
      const reversed = ids.toReversed().map((id, offset) => eventItem(offset, id));
      const results = await Promise.allSettled([
        a.write(plan(part(await claimOne(a, 0), items, 0))),
        b.write(plan(part(await claimOne(b, 1), reversed, 1))),
      ]);
      const kinds = results.map((result) =>
        result.status === "rejected" ? (result.reason as StoreError).kind : "written",
      );
      expect(kinds.sort()).toEqual(["Mispredicted", "written"]);
    }
  });

  test("a claim fences: who held the partition before can write it no more", async () => {
    newTopic();
    const [zombie, successor] = [await ledger("zombie"), await ledger("successor")];
    const old = await claimOne(zombie);
    const current = await claimOne(successor);
    expect((await failure(zombie.write(plan(part(old, [eventItem(0, unique())]))))).kind).toBe("Mispredicted");
    await successor.write(plan(part(current, [eventItem(0, unique())])));
    expect((await rowsOf("events")).length).toBe(1);
  });

  test("keeps the leader epoch of what was settled last, and hands it to the next claim", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    expect(position.leaderEpoch).toBeUndefined();
    const known = plan(part(position, [{ ...eventItem(0, unique()), leaderEpoch: 7 }]));
    await store.write(known);
    expect(await claimOne(store)).toMatchObject({ nextOffset: 1n, leaderEpoch: 7 });
    const gone = plan(part(await claimOne(store), [{ kind: "Gone", offset: 1n, lastOffset: 8n }]));
    await store.write(gone);
    expect((await claimOne(store)).leaderEpoch).toBeUndefined();
  });

  test("a position that went back with its rows is noticed although the epoch is the same", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const lost = eventItem(0, unique());
    const one = plan(part(position, [lost]));
    await store.write(one);
    const restored = await database.connect(server.superuser);
    await restored.query("DELETE FROM audit.events WHERE topic_id = $1", [topicId]);
    await restored.query("DELETE FROM audit.event_ids WHERE key = $1", [lost.event.key.toString("hex")]);
    await restored.query("UPDATE audit.progress SET next_offset = 0, chain = $2 WHERE topic_id = $1", [
      topicId,
      position.chain,
    ]);
    await restored.end();

    expect((await failure(store.write(plan(part(after(position, one), [eventItem(1, unique())]))))).kind).toBe(
      "Mispredicted",
    );
    expect((await store.positions(topicId, [0])).get(0)).toEqual(position);
    await store.write(one);
    expect((await rowsOf("events")).length).toBe(1);
  });

  test("when the answer to COMMIT is lost, the position tells that it went through", async () => {
    newTopic();
    const through = await proxy();
    const store = await ledger("a", through, 2_000);
    const position = await claimOne(store);
    const written = plan(part(position, [eventItem(0, unique())]));
    // The second part of a transaction is the first message that executes portal "commit".
    through.swallowAnswersAfter("E\0\0\0\x0fcommit\0");
    expect((await failure(store.write(written))).kind).toBe("Infrastructure");
    through.cut();
    const looking = await ledger("looking");
    expect((await looking.positions(topicId, [0])).get(0)).toEqual(after(position, written));
    expect((await rowsOf("events")).length).toBe(1);
  });

  test("a client frozen inside COPY holds up nobody", async () => {
    newTopic();
    const through = await proxy();
    const frozen = await ledger("frozen", through);
    const position = await claimOne(frozen);
    const items = Array.from({ length: 500 }, (_, offset) => eventItem(offset, unique()));
    through.stallClientAfter(200_000);
    const stuck = frozen.write(plan(part(position, items)));
    stuck.catch(() => undefined);
    await through.stalled;

    const successor = await ledger("successor");
    const began = Date.now();
    await successor.write(plan(part(await claimOne(successor), items)));
    expect(Date.now() - began).toBeLessThan(30_000);
    through.cut();
    await failure(stuck);
    expect((await rowsOf("events")).length).toBe(500);
  });

  test.for(["older", "newer"])(
    "a sink that hangs with its locks, on a connection that is %s, is ended by the one it blocks",
    async (age) => {
      newTopic();
      const blocked = await ledger("blocked", server, 15_000);
      await claimOne(blocked);
      const hanging = await database.connect(database.writer);
      await hanging.query("BEGIN");
      await hanging.query("UPDATE audit.progress SET wanted_month = NULL WHERE topic_id = $1", [topicId]);

      const claiming = age === "newer" ? blocked : await ledger("successor", server, 15_000);
      expect((await claimOne(claiming)).epoch).toBe(2n);
      await expect(hanging.query("SELECT 1")).rejects.toThrow();
    },
  );

  test("a month without a partition is told apart from poison, and can be asked for", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const item = eventItem(0, unique(), "", { recordedAtMs: Date.parse("2027-02-03T00:00:00Z") });
    expect((await failure(store.write(plan(part(position, [item]))))).kind).toBe("MissingMonth");
    await store.wantMonth(topicId, 0, "2027-02-01");
    const wanted = await reader.query("SELECT wanted_month::text FROM audit.progress WHERE topic_id = $1", [topicId]);
    expect(wanted.rows).toEqual([{ wanted_month: "2027-02-01" }]);
  });

  test.for([
    ["\\u0000", '"\\u0000"'],
    ["a lone surrogate", '"\\ud800"'],
    ["a huge number", "1e200000"],
    ["deep nesting", "[".repeat(50_000) + "]".repeat(50_000)],
  ])(
    "details that jsonb refuses (%s) are poison for the server, and the event goes in without them",
    async ([, literal]) => {
      newTopic();
      const store = await ledger();
      const position = await claimOne(store);
      const record = logRecord(auditEvent(unique()));
      const bad = itemOf(record, "acme", Buffer.from(literal ?? ""));
      expect((await failure(store.write(plan(part(position, [bad]))))).kind).toBe("Poison");
      await store.write(plan(part(position, [{ ...bad, event: bad.event.withoutDetails() }])));
      expect(await rowsOf("events")).toMatchObject([{ details: null }]);
    },
  );

  test("text of the length that the codec lets pass fits into the indexes", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    // Nothing that compression makes shorter.
    const long = () => randomBytes(INDEXED_TEXT_MAX_BYTES / 2).toString("hex");
    const data = { actor: { id: long() }, action: long().slice(7), outcome: "success", target: { id: long() } };
    const first = itemOf(logRecord(auditEvent(long().slice(18), { type: long(), data })));
    const id = first.event.id;
    const second = itemOf(logRecord(auditEvent(id, { type: long(), data }), { offset: 1 }));
    await store.write(plan(part(position, [first, second])));
    expect((await rowsOf("conflicts")).length).toBe(1);
  });

  test("a login that may not write says so before it is ready, and which right it lacks", async () => {
    const admin = await database.connect(server.superuser);
    await admin.query(`REVOKE UPDATE ON audit.progress FROM ${database.writer.user}`);
    await admin.query(`REVOKE INSERT ON audit.skipped FROM ${database.writer.user}`);
    const refused = await failure(ledger());
    await admin.query(`GRANT UPDATE ON audit.progress TO ${database.writer.user}`);
    await admin.query(`GRANT INSERT ON audit.skipped TO ${database.writer.user}`);
    await admin.end();
    expect(refused).toMatchObject({ kind: "Infrastructure", code: "42501" });
    expect(refused.message).toContain('UPDATE on "audit".progress');
    expect(refused.message).toContain('INSERT on "audit".skipped');
    await ledger();
  });

  test("revoked rights and a lost server are infrastructure", async () => {
    newTopic();
    const through = await proxy();
    const store = await ledger("a", through, 5_000);
    const position = await claimOne(store);
    const admin = await database.connect(server.superuser);
    await admin.query(`REVOKE INSERT ON audit.events FROM ${database.writer.user}`);
    const refused = await failure(store.write(plan(part(position, [eventItem(0, unique())]))));
    await admin.query(`GRANT INSERT ON audit.events TO ${database.writer.user}`);
    await admin.end();
    expect(refused).toMatchObject({ kind: "Infrastructure", code: "42501" });

    await through.close();
    expect((await failure(store.write(plan(part(position, [eventItem(0, unique())]))))).kind).toBe("Infrastructure");
  });

  test.for([
    { what: "events", items: (id: string) => [eventItem(0, id)] },
    { what: "skipped", items: () => [deadLetterItem(0)] },
  ])("a trigger that silently leaves rows of $what out is noticed, and nothing is settled", async ({ what, items }) => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const admin = await database.connect(server.superuser);
    await admin.query("CREATE FUNCTION audit.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    await admin.query(
      `CREATE TRIGGER swallow BEFORE INSERT ON audit.${what} FOR EACH ROW EXECUTE FUNCTION audit.swallow()`,
    );
    const refused = await failure(store.write(plan(part(position, items(unique())))));
    await admin.query(`DROP TRIGGER swallow ON audit.${what}`);
    await admin.query("DROP FUNCTION audit.swallow");
    await admin.end();
    expect(refused).toMatchObject({ kind: "Infrastructure", message: expect.stringContaining("trigger") });
    expect(await claimOne(store)).toMatchObject({ nextOffset: 0n });
  });

  test("a trigger that silently leaves ids out keeps the events out, too: they could be stored twice", async () => {
    newTopic();
    const store = await ledger();
    const position = await claimOne(store);
    const admin = await database.connect(server.superuser);
    await admin.query("CREATE FUNCTION audit.forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    await admin.query(
      "CREATE TRIGGER forget BEFORE INSERT ON audit.event_ids FOR EACH ROW EXECUTE FUNCTION audit.forget()",
    );
    const refused = await failure(store.write(plan(part(position, [eventItem(0, unique())]))));
    await admin.query("DROP TRIGGER forget ON audit.event_ids");
    await admin.query("DROP FUNCTION audit.forget");
    await admin.end();
    expect(refused.kind).toBe("Mispredicted");
    expect(await claimOne(store)).toMatchObject({ nextOffset: 0n });
  });

  test("an id ledger whose column somebody made text is infrastructure, no crash and no conflict", async () => {
    newTopic();
    const store = await ledger();
    const item = eventItem(0, unique());
    await store.write(plan(part(await claimOne(store), [item])));
    const admin = await database.connect(server.superuser);
    await admin.query("ALTER TABLE audit.event_ids ALTER sha256 TYPE text USING encode(sha256, 'hex')");
    const refused = await failure(store.known([item.event.key]));
    await admin.query("ALTER TABLE audit.event_ids ALTER sha256 TYPE bytea USING decode(sha256, 'hex')");
    await admin.end();
    expect(refused).toMatchObject({ kind: "Infrastructure" });
    expect((await store.known([item.event.key])).size).toBe(1);
  });

  test("a session that began read-only is not used for ever", async () => {
    newTopic();
    const admin = await database.connect(server.superuser);
    await admin.query(`ALTER ROLE ${database.writer.user} SET default_transaction_read_only = on`);
    const store = await ledger();
    const refused = await failure(store.claim(topicId, [0]));
    await admin.query(`ALTER ROLE ${database.writer.user} RESET default_transaction_read_only`);
    await admin.end();
    expect(refused).toMatchObject({ kind: "Infrastructure", code: "25006" });
    expect(await claimOne(store)).toMatchObject({ nextOffset: 0n });
  });
});
