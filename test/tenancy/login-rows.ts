import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "@platformatic/kafka";
import { metadataV10 } from "@platformatic/kafka";
import type { Certificate } from "../../hack/servers/certificates.ts";
import { kafkaAnswer, kafkaSession } from "./kafka-sessions.ts";
import type { Answer, Row, Section } from "./matrix.ts";
import { session } from "./postgres-sessions.ts";
import type { Login, World } from "./tenants.ts";

const LISTENERS = ["SASL_SSL", "mutual TLS"] as const;
type Listener = (typeof LISTENERS)[number];
type Link = (world: World) => ConnectionOptions;

const tls = ({ broker }: World) => ({ ca: readFileSync(broker.caFile, "utf8") });
const password =
  (
    login: (world: World) => { username: string; password: string },
    mechanism: "SCRAM-SHA-512" | "PLAIN" = "SCRAM-SHA-512",
  ): Link =>
  (world) => ({ tls: tls(world), sasl: { mechanism, ...login(world) } });
const certificate =
  (of: (world: World) => Certificate): Link =>
  (world) => {
    const { certFile, keyFile } = of(world);
    return { tls: { ...tls(world), cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") } };
  };

/** Gets in, and asks something: some refusals come with the first request only. */
const kafkaLogin = (who: string, expect: Partial<Record<Listener, Answer>>, link: Link): Row<Listener, World> => ({
  ...{ object: "Kafka", verb: `log in ${who}`, expect },
  async ask(listener, world) {
    const address = listener === "SASL_SSL" ? world.broker.saslSsl : world.broker.mtls;
    return kafkaAnswer(
      (async () => {
        const connection = await kafkaSession(address, link(world));
        await metadataV10.api.async(connection, [], false, false, false).finally(() => connection.socket.destroy());
      })(),
    );
  },
});

const A = ({ tenants }: World) => tenants["team-a"].kafkaLogin;
const AB = ({ tenants }: World) => tenants["team-ab"].kafkaLogin;

const kafkaLogins: readonly Row<Listener, World>[] = [
  kafkaLogin("as team-a", { SASL_SSL: "yes", "mutual TLS": "closed" }, password(A)),
  kafkaLogin("as team-ab", { SASL_SSL: "yes" }, password(AB)),
  kafkaLogin(
    "with a wrong password",
    { SASL_SSL: "refused" },
    password((world) => ({ ...A(world), password: "x".repeat(43) })),
  ),
  kafkaLogin(
    "as team-ab with team-a's password",
    { SASL_SSL: "refused" },
    password((world) => ({ ...A(world), username: AB(world).username })),
  ),
  kafkaLogin(
    "as the admin with team-a's password",
    { SASL_SSL: "refused" },
    password((world) => ({ ...A(world), username: world.broker.admin.username })),
  ),
  kafkaLogin("with the password by another mechanism (PLAIN)", { SASL_SSL: "refused" }, password(A, "PLAIN")),
  kafkaLogin("without a login", { SASL_SSL: "closed", "mutual TLS": "closed" }, (world) => ({ tls: tls(world) })),
  kafkaLogin("without TLS", { SASL_SSL: "closed", "mutual TLS": "closed" }, () => ({})),
  kafkaLogin(
    "with a stranger's certificate",
    { "mutual TLS": "yes" },
    certificate(({ broker }) => broker.clientCertificate("passer-by")),
  ),
  kafkaLogin(
    "with a certificate of another authority",
    { "mutual TLS": "closed" },
    certificate(({ broker }) => broker.strangersCertificate),
  ),
];

const WHO = [
  "team-a writer",
  "team-a reader",
  "team-ab writer",
  "team-ab reader",
  "stranger",
  "operator's login",
] as const;
type Who = (typeof WHO)[number];

function loginOf(who: Who, { tenants, stranger, postgres }: World): Login {
  if (who === "stranger") return stranger;
  if (who === "operator's login") return postgres.admin;
  const [tenant, kind] = who.split(" ") as ["team-a" | "team-ab", "writer" | "reader"];
  return tenants[tenant][kind];
}

const database = (
  object: string,
  expect: Partial<Record<Who, Answer>>,
  name: (world: World) => string,
): Row<Who, World> => ({
  ...{ object, verb: "CONNECT", expect },
  ask: (who, world) => answer(session(world.postgres, name(world), loginOf(who, world))),
});

async function answer(opened: ReturnType<typeof session>): Promise<Answer> {
  try {
    await (await opened).end();
    return "yes";
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code === "string") return code;
    throw error;
  }
}

const DENIED = "42501";
const open = Object.fromEntries(WHO.map((who) => [who, "yes"]));
const closed = Object.fromEntries(WHO.map((who) => [who, DENIED]));

const databases: readonly Row<Who, World>[] = [
  database(
    "database of team-a",
    { ...closed, "team-a writer": "yes", "team-a reader": "yes", "operator's login": "yes" },
    ({ tenants }) => tenants["team-a"].ledger.database,
  ),
  database(
    "database of team-ab",
    { ...closed, "team-ab writer": "yes", "team-ab reader": "yes", "operator's login": "yes" },
    ({ tenants }) => tenants["team-ab"].ledger.database,
  ),
  database(
    "database of the hostile tenant",
    { ...closed, "operator's login": "yes" },
    ({ hostile }) => `${hostile}_audit`,
  ),
  database("the server's own `postgres`", open, () => "postgres"),
  database("the server's own `template1`", open, () => "template1"),
  database("the server's own `template0`", Object.fromEntries(WHO.map((who) => [who, "55000"])), () => "template0"),
];

type Login15 = "PostgreSQL 15";
const login15 = (verb: string, expected: Answer, login: (world: World) => Login): Row<Login15, World> => ({
  ...{ object: "the platform's database", verb, expect: { "PostgreSQL 15": expected } },
  ask: (_, world) => answer(session(world.oldPostgres, world.platformDatabase, login(world))),
});

const rotated: readonly Row<Login15, World>[] = [
  login15("log in as team-a's writer after a rotation", "yes", ({ tenants }) => tenants["team-a"].sharedWriter),
  login15("log in as team-a's writer of before it", "28P01", ({ oldLogin }) => oldLogin),
  login15("log in as team-a's writer with its password of before", "28P01", ({ tenants, oldLogin }) => ({
    ...tenants["team-a"].sharedWriter,
    password: oldLogin.password,
  })),
  login15("log in as team-ab's writer with team-a's password", "28P01", ({ tenants }) => ({
    ...tenants["team-ab"].sharedWriter,
    password: tenants["team-a"].sharedWriter.password,
  })),
  login15("log in with the password that team-ab has on the other server", "28P01", ({ tenants }) => ({
    ...tenants["team-ab"].sharedWriter,
    password: tenants["team-ab"].writer.password,
  })),
  login15("log in as the owner role with a tenant's password", "28P01", ({ tenants }) => ({
    user: tenants["team-a"].shared.owner,
    password: tenants["team-a"].sharedWriter.password,
  })),
];

export const kafkaLoginSection: Section<Listener, World> = {
  title: "Kafka: logins",
  principals: LISTENERS,
  rows: kafkaLogins,
};
export const databaseSection: Section<Who, World> = {
  title: "PostgreSQL: databases",
  principals: WHO,
  rows: databases,
};
export const rotatedSection: Section<Login15, World> = {
  title: "PostgreSQL: logins",
  principals: ["PostgreSQL 15"],
  rows: rotated,
};
