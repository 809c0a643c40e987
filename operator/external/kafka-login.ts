import { Connection, findCoordinatorV3, metadataV10 } from "@platformatic/kafka";
import type { KafkaAcl } from "../desired/kafka-principal.ts";
import { dialled } from "./kafka-addresses.ts";
import { fromKafka, hasApiId } from "./kafka-errors.ts";
import { type KafkaLogin, type KafkaServer, kafkaLink } from "./kafka-link.ts";

/** What a login turned out to be able to do. */
export type LoginFinding =
  | { readonly kind: "Works" }
  | { readonly kind: "Refused" }
  /** It gets in, and may not do these. */
  | { readonly kind: "Lacks"; readonly acls: readonly KafkaAcl[] };

export interface KafkaLogins {
  /** Logs in, and asks the brokers themselves what it may do. Writes nothing. */
  probe(login: KafkaLogin, needed: readonly KafkaAcl[]): Promise<LoginFinding>;
}

const TIMEOUT_MS = 10_000;
const GROUP = 0;
/** Bits of `topicAuthorizedOperations`, by org.apache.kafka.common.acl.AclOperation. */
const BITS: Readonly<Record<string, number>> = { READ: 3, WRITE: 4, DESCRIBE: 8 };

export function kafkaLogins(server: KafkaServer): KafkaLogins {
  return {
    async probe(login, needed) {
      const { connection, error } = await connectAny(server, login);
      if (connection === undefined) {
        if (isRefused(error)) return { kind: "Refused" };
        return fromKafka(error, `Logging in to Kafka back-end ${server.name} as the sinks do`);
      }
      try {
        const lacks = [...(await lackingTopics(connection, needed)), ...(await lackingGroups(connection, needed))];
        return lacks.length === 0 ? { kind: "Works" } : { kind: "Lacks", acls: lacks };
      } catch (cause) {
        return fromKafka(cause, `Asking Kafka back-end ${server.name} what the sinks may do`);
      } finally {
        connection.socket.destroy();
      }
    },
  };
}

/** One bootstrap server after the other, until one answers or says no. */
async function connectAny(
  server: KafkaServer,
  login: KafkaLogin,
): Promise<{ connection?: Connection | undefined; error?: unknown }> {
  const options = { connectTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, ...(await kafkaLink(server, login)) };
  let failure: unknown;
  for (const address of server.bootstrapServers) {
    const connection = new Connection("audit-pipeline-operator-probe", options);
    connection.on("error", () => undefined);
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
    try {
      const { inline, tls } = server;
      const to = inline === undefined ? host : await dialled(host, inline, tls !== undefined);
      await connection.connect(to, Number(address.slice(colon + 1)));
      return { connection };
    } catch (error) {
      connection.socket?.destroy();
      failure = error;
      if (isRefused(error)) break;
    }
  }
  return { error: failure };
}

function isRefused(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  const nested = error instanceof AggregateError ? error.errors : [];
  return code === "PLT_KFK_AUTHENTICATION" || [...nested, cause].some(isRefused);
}

async function lackingTopics(connection: Connection, needed: readonly KafkaAcl[]): Promise<KafkaAcl[]> {
  const wanted = needed.filter(({ resource }) => resource === "TOPIC");
  const names = [...new Set(wanted.map(({ name }) => name))];
  const answer = await answerOf(metadataV10.api.async(connection, names, false, true, false));
  const operations = new Map(
    answer.topics.map(({ name, errorCode, topicAuthorizedOperations }) => {
      return [name, errorCode === 0 ? topicAuthorizedOperations : 0] as const;
    }),
  );
  return wanted.filter(({ name, operation }) => {
    return ((operations.get(name) ?? 0) & (1 << (BITS[operation] ?? 0))) === 0;
  });
}

/** Who may not use a group is not told where it is kept. */
async function lackingGroups(connection: Connection, needed: readonly KafkaAcl[]): Promise<KafkaAcl[]> {
  const lacking: KafkaAcl[] = [];
  for (const acl of needed.filter(({ resource }) => resource === "GROUP")) {
    try {
      await findCoordinatorV3.api.async(connection, GROUP, [acl.name]);
    } catch (error) {
      if (hasApiId(error, "GROUP_AUTHORIZATION_FAILED")) lacking.push(acl);
      // A cluster that has had no group yet is still making the topic for them.
      else if (!hasApiId(error, "COORDINATOR_NOT_AVAILABLE")) throw error;
    }
  }
  return lacking;
}

/** Errors of single topics come as an exception that carries the answer. */
async function answerOf<Answer>(asked: Promise<Answer>): Promise<Answer> {
  try {
    return await asked;
  } catch (error) {
    const { response } = error as { response?: Answer };
    if (response !== undefined) return response;
    throw error;
  }
}
