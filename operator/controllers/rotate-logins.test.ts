import pg from "pg";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { auditPipelineSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS, API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { asSuperuser, backendFor, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { postgresBackend } from "../config.ts";
import { ledgerNames } from "../desired/postgres-names.ts";
import { sinkNames } from "../desired/sink-names.ts";
import { connectPostgres } from "../external/connect-postgres.ts";
import { type LedgerOptions, postgresLedger } from "../external/postgres-ledger.ts";
import { identifier } from "../external/quote.ts";
import { planTeardown } from "../plan/postgres-teardown.ts";
import type { Deps } from "./deps.ts";
import { credentialsIssuedAt, rotateLogins, watchOverlap } from "./rotate-logins.ts";
import type { Secret } from "./sink-credentials.ts";
import { ensureLedger, ledgerAccess, proveCredentials } from "./sink-ledger.ts";

const connections = connectPostgres();
afterAll(() => connections.close());
const HOUR = 3_600_000;
const CRASH_STEP = Number(process.env["ROTATION_CRASH_STEP"] ?? 6);

describe.each(["postgres15", "postgres18"] as const)("logins on %s", (major) => {
  const server = sharedServers()[major];

  /** A sink's ledger and Secrets, taken care of by the real steps; `crashAt`: the write of the pass that never comes about. */
  function newSink() {
    const namespace = uniqueNamespace();
    const metadata = {
      ...{ namespace, name: "payments", uid: "uid-1", resourceVersion: "1", generation: 1 },
      ...{ creationTimestamp: "2026-11-23T10:00:00Z", annotations: {} as Record<string, string> },
    };
    const postgres = { rotation: { interval: "2160h", overlap: "24h" }, roles: { reader: { login: true } } };
    const spec = auditPipelineSpec.parse({ sinks: [{ name: "ledger", postgres }] });
    const [sink] = spec.sinks;
    if (sink === undefined) throw new Error("one sink");
    const backend = postgresBackend.parse({ ...backendFor(server), name: major });
    const identity = { clusterId: "test-cluster", namespace, name: "payments", uid: "uid-1", sink: "ledger" };
    const ledger = ledgerNames(identity, {}, backend);
    const input = {
      pipeline: { apiVersion: API_VERSION, kind: "AuditPipeline" as const, metadata, spec },
      ...{ sink, names: sinkNames(metadata, sink.name), oldestRecordMs: undefined },
      place: { backend, identity, ledger, ca: undefined, adoption: "Never" as const, driftPolicy: "Correct" as const },
    };
    let nowMs = Date.parse("2026-11-23T10:00:00Z");
    let writesLeft = Number.POSITIVE_INFINITY;
    const mayWrite = () => {
      if (writesLeft-- <= 0) throw new Error("killed here");
    };
    const secrets = new Map<string, Secret>();
    const notes: string[] = [];
    const tools = {
      log: pino({ level: "silent" }),
      recordEvent: async ({ reason }: { reason: string }) => void notes.push(reason),
      store: {
        get: async ({ kind, name }: { kind: string; name: string }) =>
          kind === "Secret" ? secrets.get(name) : undefined,
        list: async () => ({ items: [] }),
        apply: async (object: Secret) => {
          if (object.kind !== "Secret") return;
          mayWrite();
          secrets.set(object.metadata.name, object);
        },
      },
    } as unknown as Parameters<typeof ensureLedger>[1];
    const deps = {
      config: undefined,
      now: () => new Date(nowMs),
      ledgers(options: LedgerOptions) {
        const access = postgresLedger({ connections, ...options });
        return {
          ...access,
          apply: async (action: Parameters<typeof access.apply>[0]) => {
            mayWrite();
            await access.apply(action);
          },
        };
      },
    } as unknown as Deps;

    const field = (secret: string, key: string) =>
      Buffer.from(secrets.get(`payments-ledger-${secret}`)?.data?.[key] ?? "", "base64").toString();
    const login = (kind: "writer" | "reader") => ({ user: field(kind, "username"), password: field(kind, "password") });
    return {
      ...{ ledger, notes, secrets, metadata, login, deps, tools },
      async pass(crashAt = Number.POSITIVE_INFINITY) {
        writesLeft = crashAt;
        const ready = await ensureLedger(input, tools, deps);
        await proveCredentials(input, ready, tools);
        return rotateLogins(input, ready, tools, deps);
      },
      /** What was left to write of a pass with that many writes. */
      writesLeft: () => writesLeft,
      wait: (ms: number) => void (nowMs += ms),
      roles: () =>
        asSuperuser(server, "postgres", async (client) => {
          const { rows } = await client.query<{ rolname: string; rolcanlogin: boolean }>(
            "SELECT rolname, rolcanlogin FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY 1",
            [namespace],
          );
          return rows.map(({ rolname, rolcanlogin }) => `${rolname.slice(ledger.database.length + 1)} ${rolcanlogin}`);
        }),
      async teardown() {
        const access = ledgerAccess(input.place, deps);
        const policy = { database: "Delete", roles: "Delete", mayDestroy: true } as const;
        const plan = planTeardown(ledger, identity, await access.observe(), policy);
        for (const action of plan.actions) await access.apply(action);
        return plan.items.map(({ name }) => name);
      },
      async open(as: { user: string; password: string }) {
        const { host, port } = server;
        const client = new pg.Client({ host, port, database: ledger.database, ...as });
        client.on("error", () => undefined);
        await client.connect();
        return client;
      },
    };
  }
  type TestSink = ReturnType<typeof newSink>;
  const tryLogin = (sink: TestSink, as: { user: string; password: string }) =>
    sink.open(as).then(
      (client) => client.end().then(() => "lets in"),
      (error: { code?: string }) => error.code,
    );

  const BEGIN = ["owner false", "reader true", "writer true"];
  const OVERLAP = ["owner false", "reader true", "reader_b true", "writer true", "writer_b true"];
  const SECOND = ["owner false", "reader false", "reader_b true", "writer false", "writer_b true"];

  test("are replaced by age, both good during the overlap, and the old one refused after it; and back", async () => {
    const sink = newSink();
    const first = await sink.pass();
    expect(credentialsIssuedAt(first)).toBe("2026-11-23T10:00:00Z");
    const before = sink.login("writer");
    const reader = sink.login("reader");
    await sink.pass();
    expect([await sink.roles(), sink.login("writer")]).toEqual([BEGIN, before]);

    sink.wait(2160 * HOUR);
    expect(credentialsIssuedAt(await sink.pass())).toBe("2027-02-21T10:00:00Z");
    const after = sink.login("writer");
    expect(after.user).toBe(sink.ledger.otherWriter);
    expect(await sink.roles()).toEqual(OVERLAP);
    for (const as of [before, after, reader, sink.login("reader")]) expect(await tryLogin(sink, as)).toBe("lets in");

    sink.wait(24 * HOUR - 1);
    await sink.pass();
    expect(await sink.roles()).toEqual(OVERLAP);
    const session = await sink.open(before);
    sink.wait(1);
    await sink.pass();
    expect(await sink.roles()).toEqual(SECOND);
    await expect(session.query("SELECT 1")).rejects.toThrow();
    expect(await tryLogin(sink, before)).toMatch(/^28(P01|000)$/);
    expect(await tryLogin(sink, reader)).toMatch(/^28(P01|000)$/);
    expect(await tryLogin(sink, after)).toBe("lets in");

    sink.wait(2160 * HOUR);
    await sink.pass();
    expect(sink.login("writer").user).toBe(before.user);
    sink.wait(24 * HOUR);
    await sink.pass();
    expect(await sink.roles()).toEqual(BEGIN);
    expect(await tryLogin(sink, after)).toMatch(/^28(P01|000)$/);
    expect(sink.notes).toEqual(["CredentialsRotated", "CredentialsRotated"]);
  });

  test("whose end PostgreSQL refuses are shut, told, and in nobody's way", async () => {
    const sink = newSink();
    await sink.pass();
    for (const name of ["second", "first"]) {
      sink.wait(25 * HOUR);
      sink.metadata.annotations[ANNOTATIONS.rotateAt] = name;
      await sink.pass();
    }
    await asSuperuser(server, sink.ledger.database, async (client) => {
      await client.query("CREATE TABLE public.theirs (x integer)");
      await client.query(`ALTER TABLE public.theirs OWNER TO ${identifier(sink.ledger.otherWriter)}`);
    });
    sink.wait(25 * HOUR);
    const { drift } = await sink.pass();
    expect(drift).toEqual([expect.stringContaining(sink.ledger.otherWriter)]);
    expect(await sink.roles()).toContain("writer_b false");
    expect(await tryLogin(sink, sink.login("writer"))).toBe("lets in");
  });

  test("are replaced on request, once for each value; a request during the overlap waits for its end", async () => {
    const sink = newSink();
    await sink.pass();
    const ask = (value: string) => void (sink.metadata.annotations[ANNOTATIONS.rotateAt] = value);
    ask("now");
    await sink.pass();
    await sink.pass();
    expect(sink.login("writer").user).toBe(sink.ledger.otherWriter);
    ask("again");
    sink.wait(HOUR);
    await sink.pass();
    expect(sink.login("writer").user).toBe(sink.ledger.otherWriter);
    sink.wait(23 * HOUR);
    await sink.pass();
    expect(sink.login("writer").user).toBe(sink.ledger.writer);
    await sink.pass();
    sink.wait(24 * HOUR);
    await sink.pass();
    expect(await sink.roles()).toEqual(BEGIN);
    expect(sink.notes).toHaveLength(2);
  });

  test(
    "are replaced whatever write the operator is killed at, and none is left over",
    async () => {
      const sink = newSink();
      await sink.pass();
      // Grants are many and alike: every place is for `make soak`.
      for (let crashAt = 0, crashed = true; crashed; crashAt += CRASH_STEP) {
        const [before, reader] = [sink.login("writer"), sink.login("reader")];
        sink.wait(2160 * HOUR);
        crashed = await sink.pass(crashAt).then(
          () => false,
          () => true,
        );
        // Whatever the Secrets say now lets people in, and so does what they said before.
        for (const as of [before, reader, sink.login("writer"), sink.login("reader")]) {
          expect(await tryLogin(sink, as)).toBe("lets in");
        }
        if (crashed) await sink.pass();
        expect(sink.login("writer").user).not.toBe(before.user);
        sink.wait(24 * HOUR);
        await sink.pass();
        expect(await tryLogin(sink, before)).toMatch(/^28(P01|000)$/);
        expect([BEGIN, SECOND]).toContainEqual(await sink.roles());
        // What a kill left can be taken up a rotation later only: the next one starts from rest.
        await sink.pass();
      }
    },
    60_000 + 3_600_000 / CRASH_STEP,
  );

  test("a spoilt Secret is a new password at once, also in the middle of a rotation", async () => {
    const sink = newSink();
    await sink.pass();
    sink.wait(2160 * HOUR);
    await sink.pass();
    const name = "payments-ledger-writer";
    for (const data of [undefined, {}, { username: "", password: "" }, { password: "/////w==", username: "gICA" }]) {
      const before = sink.login("writer");
      const secret = sink.secrets.get(name);
      if (data === undefined || secret === undefined) sink.secrets.delete(name);
      else sink.secrets.set(name, { ...secret, data });
      await sink.pass();
      expect(sink.login("writer").user).toBe(before.user);
      expect(await tryLogin(sink, before)).toBe("28P01");
      expect(await tryLogin(sink, sink.login("writer"))).toBe("lets in");
    }
    expect(sink.notes.filter((reason) => reason === "SecretReplaced")).toHaveLength(4);
    expect(await sink.roles()).toEqual(OVERLAP);
  });

  test("a password that somebody changed on the server is noticed at rest, named, and set again", async () => {
    const sink = newSink();
    await sink.pass();
    await asSuperuser(server, "postgres", (client) =>
      client.query(`ALTER ROLE ${identifier(sink.ledger.reader)} PASSWORD 'changed by hand'`),
    );
    await expect(sink.pass()).rejects.toMatchObject({
      reason: "ProbeFailed",
      message: expect.stringContaining("reader"),
    });
    await sink.pass();
    expect(await tryLogin(sink, sink.login("reader"))).toBe("lets in");
  });

  test("a frozen session of the old login is ended where it stands in the new one's way, and only there", async () => {
    const sink = newSink();
    await sink.pass();
    const [frozen, idle] = [await sink.open(sink.login("writer")), await sink.open(sink.login("writer"))];
    await frozen.query("SET idle_in_transaction_session_timeout = 0");
    await frozen.query("BEGIN");
    await frozen.query("INSERT INTO audit.event_ids SELECT * FROM audit.event_ids WHERE false");
    await frozen.query("SELECT pg_advisory_xact_lock(7)");
    sink.wait(2160 * HOUR);
    const ready = await sink.pass();
    expect(await watchOverlap(ready)).toBe(5_000);

    const next = await sink.open(sink.login("writer"));
    const claim = next.query("SELECT pg_advisory_xact_lock(7)");
    await expect.poll(() => ready.access.fenceOtherWriter(), { timeout: 30_000, interval: 1_000 }).toBe(1);
    await claim;
    await expect(frozen.query("SELECT 1")).rejects.toThrow();
    await idle.query("SELECT 1");
    sink.wait(24 * HOUR);
    await sink.pass();
    await expect(idle.query("SELECT 1")).rejects.toThrow();
    await next.end();
  });

  test("are all taken down with their ledger, in the middle of a rotation too", async () => {
    const sink = newSink();
    await sink.pass();
    sink.wait(2160 * HOUR);
    await sink.pass();
    expect(await sink.teardown()).toEqual(expect.arrayContaining([sink.ledger.otherWriter, sink.ledger.otherReader]));
    expect(await sink.roles()).toEqual([]);
  });
});
