import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kafkaLink } from "../../operator/external/kafka-link.ts";
import { InvalidError } from "../../operator/runtime/object-store.ts";
import { produceEvents } from "../support/produce.ts";
import { type KafkaContext, type KafkaPrincipal, kafkaSections } from "./kafka-rows.ts";
import { kafkaSession } from "./kafka-sessions.ts";
import { databaseSection, kafkaLoginSection, rotatedSection } from "./login-rows.ts";
import { askedLines, cellsOf, expectedLines } from "./matrix.ts";
import { ledgerSections, type PostgresContext, type PostgresPrincipal, sharedSection } from "./postgres-rows.ts";
import { session } from "./postgres-sessions.ts";
import { type Refused, refused } from "./refused.ts";
import { cells, matrix } from "./sections.ts";
import { surfaceSection } from "./surface-rows.ts";
import { EVENTS, startWorld, stored, type World } from "./tenants.ts";
import { play, takeDown, tricks } from "./tricks.ts";
import { victims } from "./victims.ts";

/** Who may do what to which object, asked of real servers. */
let world: World;
beforeAll(async () => {
  world = await startWorld();
}, 300_000);
afterAll(async () => {
  await world?.stop();
});

describe(`the matrix of ${cells} cells`, () => {
  test("is what the docs say", () => {
    const page = readFileSync(resolve(import.meta.dirname, "../../docs/tenancy-matrix.md"), "utf8");
    expect(page, "run node test/tenancy/render.ts").toBe(matrix);
  });

  describe.each([kafkaLoginSection, databaseSection, rotatedSection, surfaceSection])("$title", (section) => {
    test(`${cellsOf(section)} cells`, async () => {
      // The sections differ in who asks; what they are asked in is the same.
      const same = section as typeof surfaceSection;
      expect(await askedLines(same, world)).toEqual(expectedLines(same));
    }, 60_000);
  });

  describe.each(kafkaSections)("$title", (section) => {
    test(`${cellsOf(section)} cells`, async () => {
      const context = await kafkaContext();
      try {
        expect(await askedLines(section, context)).toEqual(expectedLines(section));
      } finally {
        for (const connection of Object.values(context.sessions)) connection.socket.destroy();
      }
    }, 120_000);
  });

  describe.each([...ledgerSections, sharedSection])("$title", (section) => {
    test(`${cellsOf(section)} cells`, async () => {
      const context = await postgresContext(section === sharedSection);
      try {
        expect(await askedLines(section, context)).toEqual(expectedLines(section));
      } finally {
        await Promise.all(Object.values(context.sessions).map((client) => client.end()));
      }
    }, 120_000);
  });
});

describe("what a third tenant tries", () => {
  test("a resource whose names are more than names is refused, with the field", async () => {
    const probes = refused(world);
    expect(probes.length).toBeGreaterThanOrEqual(150);
    const answers = await Promise.all(probes.map((probe) => answerTo(probe)));
    expect(answers.filter(({ named, field }) => named !== field)).toEqual([]);
  }, 60_000);

  test("a resource that the API takes is refused by name, or does no harm", async () => {
    const played = tricks(world);
    expect(played.length).toBeGreaterThanOrEqual(45);
    const before = await victims(world);
    const otherwise = await Promise.all(played.map((trick) => play(trick, world)));
    expect(otherwise.filter((answer) => answer !== undefined)).toEqual([]);
    expect(await victims(world)).toEqual(before);
    const left = await Promise.all(played.map((trick) => takeDown(trick, world)));
    expect(left.filter((answer) => answer !== undefined)).toEqual([]);
    expect(await victims(world)).toEqual(before);
    await stillWork();
  }, 400_000);
});

/** The first field that the answer names, as far as the probe does. */
async function answerTo({ kind, metadata = {}, spec, what, field }: Refused) {
  const name = { name: "probe", namespace: world.hostile, ...metadata };
  try {
    await world.operator.store.apply(
      { apiVersion: "auditpipeline.io/v1alpha1", kind, metadata: name, spec },
      { fieldManager: "hostile" },
    );
    return { what, field, named: "accepted" };
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
    return { what, field, named: error.causes.some((cause) => cause.field.startsWith(field)) ? field : error.message };
  }
}

/** The victims' logins get in, and what they send is stored. */
async function stillWork() {
  const { broker, tenants, postgres } = world;
  for (const { namespace, ledger, kafkaLogin, writer } of Object.values(tenants)) {
    const link = { ca: readFileSync(broker.caFile, "utf8") };
    const connection = await kafkaSession(broker.saslSsl, {
      tls: link,
      sasl: { mechanism: "SCRAM-SHA-512", ...kafkaLogin },
    });
    connection.socket.destroy();
    await (await session(postgres, ledger.database, writer)).end();
    await produceEvents(`${namespace}.audit`, 1, { bootstrapServers: [broker.plaintext] });
    await stored(postgres, ledger, EVENTS + 1);
  }
}

async function kafkaContext(): Promise<KafkaContext> {
  const { broker, cluster, tenants } = world;
  const { caFile, saslSsl, mtls, admin } = broker;
  const server = { name: "secured", bootstrapServers: [saslSsl], tls: { caFile } };
  const sasl = { mechanism: "ScramSha512", secretFile: "" } as const;
  const by = async (user: { username: string; password: string }) =>
    kafkaSession(saslSsl, await kafkaLink({ ...server, sasl }, { user }));
  const { certFile, keyFile } = broker.clientCertificate("stranger");
  const certificate = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  const scratch = (object: string) => `${world.hostile}-scratch.${object}`;
  const topics = ["group-topic", ...["team-a", "team-ab"].flatMap((name) => [`${name}.topic`, `${name}.deadLetters`])];
  await cluster.admin.createTopics({ topics: topics.map(scratch), partitions: 1, replicas: 1 }).catch(() => undefined);
  const sessions: Record<KafkaPrincipal, Awaited<ReturnType<typeof by>>> = {
    "team-a": await by(tenants["team-a"].kafkaLogin),
    "team-ab": await by(tenants["team-ab"].kafkaLogin),
    stranger: await kafkaSession(mtls, await kafkaLink(server, { certificate })),
    admin: await by(admin),
  };
  return { sessions, scratch, names: { "team-a": tenants["team-a"].kafka, "team-ab": tenants["team-ab"].kafka } };
}

async function postgresContext(isShared: boolean): Promise<PostgresContext> {
  const { postgres, oldPostgres, tenants, stranger } = world;
  const [pg, [a, ab]] = [isShared ? oldPostgres : postgres, [tenants["team-a"], tenants["team-ab"]]];
  const ledgers = { "team-a": isShared ? a.shared : a.ledger, "team-ab": isShared ? ab.shared : ab.ledger };
  const open = (login: { user: string; password: string }, database: string) => session(pg, database, login);
  const sessions: Record<PostgresPrincipal, Awaited<ReturnType<typeof open>>> = {
    "team-a writer": await open(isShared ? a.sharedWriter : a.writer, ledgers["team-a"].database),
    "team-a reader": await open(isShared ? a.sharedReader : a.reader, ledgers["team-a"].database),
    "team-ab writer": await open(isShared ? ab.sharedWriter : ab.writer, ledgers["team-ab"].database),
    "team-ab reader": await open(isShared ? ab.sharedReader : ab.reader, ledgers["team-ab"].database),
    stranger: await open(isShared ? pg.admin : stranger, "postgres"),
    "operator's login": await open(pg.admin, "postgres"),
    "owner role": await open(pg.admin, ledgers["team-a"].database),
    superuser: await open(pg.superuser, "postgres"),
  };
  return { sessions, ledgers };
}
