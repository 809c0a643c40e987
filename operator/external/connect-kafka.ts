import { Admin } from "@platformatic/kafka";
import { WaitingError } from "../errors.ts";
import { guardAddresses } from "./kafka-addresses.ts";
import { type KafkaBrokers, kafkaBrokers } from "./kafka-brokers.ts";
import { wasHungUp } from "./kafka-errors.ts";
import { type KafkaGroups, kafkaGroups } from "./kafka-group.ts";
import { type KafkaLink, type KafkaServer, readOperatorLink } from "./kafka-link.ts";
import { type KafkaLogins, kafkaLogins } from "./kafka-login.ts";
import { type KafkaPrincipals, kafkaPrincipals } from "./kafka-principal.ts";
import { handshakeFault, tlsProblem } from "./kafka-tls-errors.ts";
import { type KafkaTopics, kafkaTopics } from "./kafka-topic.ts";
import { whenUnused } from "./when-unused.ts";

/** One Kafka cluster as the operator sees it. */
export interface Kafka {
  readonly topics: KafkaTopics;
  readonly groups: KafkaGroups;
  readonly principals: KafkaPrincipals;
  readonly logins: KafkaLogins;
  readonly brokers: KafkaBrokers;
}

export interface KafkaConnections {
  /** Lazy: nothing is read or dialled before the first call. One client per back-end, shared. */
  to(backend: KafkaServer): Kafka;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const COORDINATOR_RETRIES = 10;
const RETRY_DELAY_MS = 500;
/** How long a client that another has replaced may finish what was asked of it. */
const REPLACED_MS = 60_000;
const UNUSED_MS = 60_000;

interface Client {
  /** What it was made with: where a file was changed since, another takes its place. */
  readonly madeWith: string;
  readonly kafka: Omit<Kafka, "logins">;
  use<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function connectKafka(): KafkaConnections {
  const clients = new Map<string, Client>();
  const replaced = new Set<Client>();

  async function clientFor(server: KafkaServer): Promise<Client> {
    const link = await readOperatorLink(server);
    const madeWith = JSON.stringify([server.bootstrapServers, link]);
    const key = server.inline?.id ?? server.name;
    const known = clients.get(key);
    if (known?.madeWith === madeWith) return known;
    const client: Client = newClient(server, link, madeWith, () => forget(key, client));
    clients.set(key, client);
    if (known !== undefined) retire(known);
    return client;
  }

  function forget(key: string, client: Client): void {
    if (clients.get(key) === client) clients.delete(key);
    void client.close();
  }

  function retire(client: Client): void {
    replaced.add(client);
    setTimeout(() => {
      replaced.delete(client);
      void client.close();
    }, REPLACED_MS).unref();
  }

  return {
    to: (server) => {
      const explain = (error: unknown) => explainHangUp(error, server);
      return {
        topics: later(
          () => clientFor(server),
          ({ kafka }) => kafka.topics,
          explain,
        ),
        groups: later(
          () => clientFor(server),
          ({ kafka }) => kafka.groups,
          explain,
        ),
        principals: later(
          () => clientFor(server),
          ({ kafka }) => kafka.principals,
          explain,
        ),
        brokers: later(
          () => clientFor(server),
          ({ kafka }) => kafka.brokers,
          explain,
        ),
        logins: kafkaLogins(server),
      };
    },
    async close() {
      const all = [...clients.values(), ...replaced];
      clients.clear();
      replaced.clear();
      await Promise.all(all.map((client) => client.close()));
    },
  };
}

function newClient(server: KafkaServer, link: KafkaLink, madeWith: string, forget: () => void): Client {
  // The loop retries. A create that the client repeated by itself could meet its own topic and take it for another's.
  const topicAdmin = newAdmin(server, link, 0);
  // A cluster that has had no group yet makes its offsets topic at the first question, and answers after a while.
  const groupAdmin = newAdmin(server, link, COORDINATOR_RETRIES);
  return {
    madeWith,
    // Connections of tenants' own come and go without a restart of the operator.
    use: server.inline === undefined ? (work) => work() : whenUnused(UNUSED_MS, forget),
    kafka: {
      topics: kafkaTopics(topicAdmin),
      groups: kafkaGroups(groupAdmin),
      principals: kafkaPrincipals(topicAdmin),
      brokers: kafkaBrokers(topicAdmin),
    },
    async close() {
      await Promise.allSettled([topicAdmin.close(), groupAdmin.close()]);
    },
  };
}

function newAdmin({ bootstrapServers, inline }: KafkaServer, link: KafkaLink, retries: number): Admin {
  const admin = new Admin({
    clientId: "audit-pipeline-operator",
    bootstrapBrokers: [...bootstrapServers],
    connectTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    timeout: TIMEOUT_MS,
    retries,
    retryDelay: RETRY_DELAY_MS,
    ...link,
  });
  if (inline !== undefined) guardAddresses(admin, inline, link.tls !== undefined);
  return admin;
}

/** A broker that does not take a certificate hangs up; so does one that wants a login and is given none. */
async function explainHangUp(error: unknown, server: KafkaServer): Promise<unknown> {
  const isAway = error instanceof WaitingError && error.reason === "KafkaUnreachable";
  if (!isAway || server.tls === undefined || !wasHungUp(error.cause)) return error;
  const [first] = server.bootstrapServers;
  const code = first === undefined ? undefined : await handshakeFault(first, await readOperatorLink(server));
  const problem = code === undefined ? undefined : tlsProblem(code);
  if (problem === undefined) return error;
  return new WaitingError("KafkaTlsFailed", `Connecting to Kafka back-end ${server.name}: ${problem}`, {
    requeueAfterMs: 30_000,
    cause: error.cause,
  });
}

type Asynchronous = { readonly [name: string]: (...args: never[]) => Promise<unknown> };

/** Stands for an object, all of whose members are asynchronous methods, that is looked up at each call. */
function later<T extends object>(
  find: () => Promise<Client>,
  part: (client: Client) => T,
  explain: (error: unknown) => Promise<unknown>,
): T {
  const call = async (name: string, args: unknown[]) => {
    const client = await find();
    const found = part(client) as unknown as Asynchronous;
    const method = found[name] as (...given: unknown[]) => Promise<unknown>;
    try {
      return await client.use(() => method.apply(found, args));
    } catch (error) {
      throw await explain(error);
    }
  };
  return new Proxy({} as T, {
    // No promise itself, whoever awaits it.
    get: (_, name) =>
      typeof name === "symbol" || name === "then" ? undefined : (...args: unknown[]) => call(name, args),
  });
}
