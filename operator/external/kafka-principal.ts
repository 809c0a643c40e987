import { pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import {
  type Acl,
  AclOperations,
  AclPermissionTypes,
  type Admin,
  alterUserScramCredentialsV0,
  type Connection,
  describeUserScramCredentialsV0,
  ResourcePatternTypes,
  ResourceTypes,
  ScramMechanisms,
} from "@platformatic/kafka";
import type { KafkaAcl } from "../desired/kafka-principal.ts";
import { WaitingError } from "../errors.ts";
import type { ObservedPrincipal } from "../plan/kafka-principal.ts";
import { fromKafka, hasApiId } from "./kafka-errors.ts";

export type ScramMechanism = "ScramSha256" | "ScramSha512";

/** Users with SCRAM passwords, and their rights. Every call can be repeated. */
export interface KafkaPrincipals {
  observe(username: string, mechanism: ScramMechanism): Promise<ObservedPrincipal>;
  setPassword(username: string, mechanism: ScramMechanism, password: string): Promise<void>;
  addAcls(username: string, acls: readonly KafkaAcl[]): Promise<void>;
  removeAcls(username: string, acls: readonly KafkaAcl[]): Promise<void>;
  /** Its rights first: nobody who makes a user of that name later inherits them. */
  delete(username: string): Promise<void>;
}

/** The least that Kafka takes; our passwords are random, so more would buy nothing. */
const ITERATIONS = 4096;
const HASHES = { ScramSha256: ["sha256", 32], ScramSha512: ["sha512", 64] } as const;
const MECHANISM_IDS = { ScramSha256: ScramMechanisms.SCRAM_SHA_256, ScramSha512: ScramMechanisms.SCRAM_SHA_512 };
const NO_CREDENTIAL = "RESOURCE_NOT_FOUND";
const VISIBLE_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 100;

export function kafkaPrincipals(admin: Admin): KafkaPrincipals {
  async function observe(username: string, mechanism: ScramMechanism): Promise<ObservedPrincipal> {
    const wanted = MECHANISM_IDS[mechanism];
    const [mechanisms, acls] = await Promise.all([mechanismsOf(admin, username), aclsOf(admin, username)]);
    return { hasPassword: mechanisms.some((found) => found === wanted), acls: acls.map(fromWire) };
  }

  async function setPassword(username: string, mechanism: ScramMechanism, password: string): Promise<void> {
    const [hash, bytes] = HASHES[mechanism];
    const salt = randomBytes(24);
    // Salted here: the password itself is sent nowhere, and is in no broker's memory or log.
    const saltedPassword = await promisify(pbkdf2)(password, salt, ITERATIONS, bytes, hash);
    const upsertion = {
      name: username,
      mechanism: MECHANISM_IDS[mechanism],
      iterations: ITERATIONS,
      salt,
      saltedPassword,
    };
    await alter(admin, [], [upsertion]).catch((error) => fromKafka(error, `Setting the password of user ${username}`));
    await until(async () => (await observe(username, mechanism)).hasPassword);
  }

  async function addAcls(username: string, acls: readonly KafkaAcl[]): Promise<void> {
    const creations = acls.map((acl) => toWire(username, acl));
    await admin.createAcls({ creations }).catch((error) => fromKafka(error, `Giving rights to user ${username}`));
    await until(async () => creations.length <= (await aclsOf(admin, username)).length);
  }

  async function removeAcls(username: string, acls: readonly KafkaAcl[]): Promise<void> {
    const filters = acls.map((acl) => toWire(username, acl));
    await admin.deleteAcls({ filters }).catch((error) => fromKafka(error, `Taking rights from user ${username}`));
  }

  return {
    observe,
    setPassword,
    addAcls,
    removeAcls,
    async delete(username) {
      await admin
        .deleteAcls({ filters: [filterOf(username)] })
        .catch((error) => fromKafka(error, `Taking rights from user ${username}`));
      const deletions = (await mechanismsOf(admin, username)).map((mechanism) => ({ name: username, mechanism }));
      if (deletions.length === 0) return;
      await alter(admin, deletions, []).catch((error) => {
        if (!hasApiId(error, NO_CREDENTIAL)) fromKafka(error, `Deleting user ${username}`);
      });
    },
  };
}

async function mechanismsOf(admin: Admin, username: string): Promise<number[]> {
  try {
    const { api } = describeUserScramCredentialsV0;
    const { results } = await api.async(await anyBroker(admin), [{ name: username }]);
    return results.flatMap(({ credentialInfos }) => credentialInfos.map(({ mechanism }) => mechanism));
  } catch (error) {
    if (hasApiId(error, NO_CREDENTIAL)) return [];
    return fromKafka(error, `Looking at user ${username}`);
  }
}

async function alter(
  admin: Admin,
  ...[deletions, upsertions]: Parameters<typeof alterUserScramCredentialsV0.createRequest>
): Promise<void> {
  await alterUserScramCredentialsV0.api.async(await anyBroker(admin), deletions, upsertions);
}

/** Whichever it is: a broker passes on what is the controller's to do. */
async function anyBroker(admin: Admin): Promise<Connection> {
  await admin.metadata({ topics: [], forceUpdate: true });
  const [connection] = (await admin.connectToBrokers()).values();
  if (connection === undefined) throw new WaitingError("KafkaUnreachable", "The cluster names no broker");
  return connection;
}

async function aclsOf(admin: Admin, username: string): Promise<Acl[]> {
  const found = await admin
    .describeAcls({ filter: filterOf(username) })
    .catch((error: unknown) => fromKafka(error, `Looking at the rights of user ${username}`));
  return found.flatMap(({ acls, ...target }) => acls.map((acl) => ({ ...target, ...acl })));
}

const principalOf = (username: string) => `User:${username}`;

/** Everything of that user, of whatever kind. */
const filterOf = (username: string) => ({
  resourceType: ResourceTypes.ANY,
  resourceName: null,
  resourcePatternType: ResourcePatternTypes.ANY,
  principal: principalOf(username),
  host: null,
  operation: AclOperations.ANY,
  permissionType: AclPermissionTypes.ANY,
});

const nameIn = (words: Readonly<Record<string, number>>, value: number) =>
  Object.entries(words).find(([, code]) => code === value)?.[0] ?? String(value);
/** What a later Kafka than the client has words for goes by its number, there and back. */
const codeIn = <Code extends number>(words: Readonly<Record<string, Code>>, name: string): Code => {
  const code = words[name] ?? (/^\d+$/.test(name) ? (Number(name) as Code) : undefined);
  if (code === undefined) throw new RangeError(`${name} is no word of Kafka's ACLs that is known here`);
  return code;
};

const fromWire = (acl: Acl): KafkaAcl => ({
  resource: nameIn(ResourceTypes, acl.resourceType),
  name: acl.resourceName,
  pattern: nameIn(ResourcePatternTypes, acl.resourcePatternType),
  operation: nameIn(AclOperations, acl.operation),
  permission: nameIn(AclPermissionTypes, acl.permissionType),
  host: acl.host,
});

const toWire = (username: string, acl: KafkaAcl): Acl => ({
  resourceType: codeIn(ResourceTypes, acl.resource),
  resourceName: acl.name,
  resourcePatternType: codeIn(ResourcePatternTypes, acl.pattern),
  principal: principalOf(username),
  host: acl.host,
  operation: codeIn(AclOperations, acl.operation),
  permissionType: codeIn(AclPermissionTypes, acl.permission),
});

/** Brokers follow the controller after a moment. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < VISIBLE_WITHIN_MS; waited += LOOK_EVERY_MS) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  throw new WaitingError("KafkaUnreachable", "What was written is not visible yet on the brokers", {
    requeueAfterMs: 10_000,
  });
}
