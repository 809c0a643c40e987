import { setTimeout as sleep } from "node:timers/promises";
import {
  alterClientQuotasV1,
  alterPartitionReassignmentsV0,
  alterUserScramCredentialsV0,
  type Connection,
  createAclsV3,
  createDelegationTokenV3,
  createPartitionsV3,
  createTopicsV7,
  deleteAclsV3,
  deleteGroupsV2,
  deleteRecordsV2,
  deleteTopicsV6,
  describeAclsV3,
  describeClientQuotasV1,
  describeClusterV1,
  describeConfigsV4,
  describeDelegationTokenV3,
  describeGroupsV5,
  describeLogDirsV4,
  describeProducersV0,
  describeQuorumV2,
  describeTransactionsV0,
  describeUserScramCredentialsV0,
  fetchV12,
  findCoordinatorV3,
  heartbeatV4,
  incrementalAlterConfigsV1,
  initProducerIdV5,
  listGroupsV4,
  listOffsetsV7,
  listPartitionReassignmentsV0,
  metadataV10,
  offsetCommitV8,
  offsetDeleteV0,
  offsetFetchV8,
  offsetForLeaderEpochV4,
  produceV10,
  unregisterBrokerV0,
  updateFeaturesV1,
} from "@platformatic/kafka";
import { kafkaAnswer } from "./kafka-sessions.ts";
import type { Answer, Row, Section } from "./matrix.ts";

/** A: team-a, AB: team-ab, whose name begins with the other's. The stranger has a certificate and no rights. */
export const KAFKA_PRINCIPALS = ["team-a", "team-ab", "stranger", "admin"] as const;
export type KafkaPrincipal = (typeof KAFKA_PRINCIPALS)[number];
type Tenant = "team-a" | "team-ab";
const TENANTS: readonly Tenant[] = ["team-a", "team-ab"];

export interface KafkaNames {
  readonly user: string;
  readonly topic: string;
  readonly deadLetters: string;
  readonly group: string;
}

export interface KafkaContext {
  readonly sessions: Readonly<Record<KafkaPrincipal, Connection>>;
  readonly names: Readonly<Record<Tenant, KafkaNames>>;
  /** The admin's verbs go to objects of nobody's: it may do everything. */
  readonly scratch: (object: string) => string;
}

type KafkaRow = Row<KafkaPrincipal, KafkaContext>;
type Ask = (connection: Connection, name: string, topic: string) => Promise<unknown>;

const NO_TOPIC = "TOPIC_AUTHORIZATION_FAILED";
const NO_GROUP = "GROUP_AUTHORIZATION_FAILED";
const NO_CLUSTER = "CLUSTER_AUTHORIZATION_FAILED";

/** What a tenant may do with its own: read its topic, write its dead letters, and know that both are there. */
const OWN = { topic: ["Describe", "Read"], deadLetters: ["Describe", "Write"] } as const;

const [TOPIC, BROKER] = [2, 4] as const;
const partition = { partitionIndex: 0, currentLeaderEpoch: -1 };
const SET = 0;

/** The verb, the right it takes, and how to ask for it. */
const TOPIC_VERBS: readonly (readonly [verb: string, needs: string, ask: Ask])[] = [
  ["see that it is there", "Describe", (c, topic) => metadataV10.api.async(c, [topic], false, true, false)],
  [
    "ask for its end",
    "Describe",
    (c, name) => listOffsetsV7.api.async(c, -1, 0, [{ name, partitions: [{ ...partition, timestamp: -1n }] }]),
  ],
  [
    "ask for its leader's epochs",
    "Describe",
    (c, name) => {
      const asked = { partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 };
      return offsetForLeaderEpochV4.api.async(c, -1, [{ topic: name, name, partitions: [asked] } as never]);
    },
  ],
  [
    "read records",
    "Read",
    (c, topicId) => {
      const from = { partition: 0, currentLeaderEpoch: -1, fetchOffset: 0n, lastFetchedEpoch: -1 };
      const topic = { topicId, partitions: [{ ...from, partitionMaxBytes: 1024 }] };
      return fetchV12.api.async(c, 0, 0, 1024, 0, 0, -1, [topic], [], "");
    },
  ],
  ["see who writes", "Read", (c, name) => describeProducersV0.api.async(c, [{ name, partitionIndexes: [0] }])],
  [
    "write a record",
    "Write",
    (c, topic) => produceV10.api.async(c, 1, 5_000, [{ topic, partition: 0, value: Buffer.from("x") }], {}),
  ],
  [
    "read its settings",
    "DescribeConfigs",
    (c, name) => describeConfigsV4.api.async(c, [{ resourceType: TOPIC, resourceName: name }], false, false),
  ],
  [
    "change its settings",
    "AlterConfigs",
    (c, name) => {
      const configs = [{ name: "retention.ms", configOperation: SET, value: "60000" } as const];
      return incrementalAlterConfigsV1.api.async(c, [{ resourceType: TOPIC, resourceName: name, configs }], true);
    },
  ],
  ["add partitions", "Alter", (c, name) => createPartitionsV3.api.async(c, [{ name, count: 9 }], 5_000, true)],
  [
    "cut records off",
    "Delete",
    (c, name) => deleteRecordsV2.api.async(c, [{ name, partitions: [{ partitionIndex: 0, offset: 0n }] }], 5_000),
  ],
  ["delete it", "Delete", (c, name) => deleteTopicsV6.api.async(c, [{ name }], 5_000)],
];

const topicRows = TENANTS.flatMap((owner) =>
  (["topic", "deadLetters"] as const).flatMap((kind) =>
    TOPIC_VERBS.map(([verb, needs, ask]): KafkaRow => {
      const own = (OWN[kind] as readonly string[]).includes(needs) ? "yes" : NO_TOPIC;
      const object = `${kind === "topic" ? "topic" : "dead letters"} of ${owner}`;
      return {
        ...{ object, verb },
        expect: { "team-a": NO_TOPIC, "team-ab": NO_TOPIC, stranger: NO_TOPIC, admin: "yes", [owner]: own },
        ask: (who, { sessions, names, scratch }) => {
          const name = who === "admin" ? scratch(`${owner}.${kind}`) : names[owner][kind];
          return kafkaAnswer(ask(sessions[who], name, name));
        },
      };
    }),
  ),
);

/** As for topics; `yes` says what the broker answers to whom it lets in, `own` to a tenant whose sinks are in the group. */
const GROUP_VERBS: readonly {
  readonly verb: string;
  readonly needs: "Read" | "Delete";
  readonly ask: Ask;
  readonly yes?: Answer;
  readonly own?: Answer;
}[] = [
  {
    verb: "commit an offset",
    needs: "Read",
    own: "UNKNOWN_MEMBER_ID",
    ask: (c, group, name) => {
      const at = { partitionIndex: 0, committedOffset: 0n, committedLeaderEpoch: -1, committedMetadata: "" };
      return offsetCommitV8.api.async(c, group, -1, "", null, [{ name, partitions: [at] }]);
    },
  },
  {
    verb: "read its offsets",
    needs: "Read",
    ask: (c, groupId, name) => {
      const asked = { groupId, memberId: null, memberEpoch: -1, topics: [{ name, partitionIndexes: [0] }] };
      return offsetFetchV8.api.async(c, [asked], false);
    },
  },
  { verb: "find it", needs: "Read", ask: (c, group) => findCoordinatorV3.api.async(c, 0, [group]) },
  { verb: "list its members", needs: "Read", ask: (c, group) => describeGroupsV5.api.async(c, [group], false) },
  {
    verb: "beat for a member",
    needs: "Read",
    yes: "UNKNOWN_MEMBER_ID",
    ask: (c, group) => heartbeatV4.api.async(c, group, 1, "somebody", null),
  },
  {
    verb: "delete its offsets",
    needs: "Delete",
    ask: (c, group, name) => offsetDeleteV0.api.async(c, group, [{ name, partitions: [{ partitionIndex: 0 }] }]),
  },
  { verb: "delete it", needs: "Delete", ask: (c, group) => deleteGroupsV2.api.async(c, [group]) },
];

const groupRows = TENANTS.flatMap((owner) =>
  GROUP_VERBS.map(({ verb, needs, ask, yes = "yes", own = yes }): KafkaRow => {
    return {
      ...{ object: `group of ${owner}`, verb },
      expect: {
        ...{ "team-a": NO_GROUP, "team-ab": NO_GROUP, stranger: NO_GROUP, admin: yes },
        [owner]: needs === "Read" ? own : NO_GROUP,
      },
      ask: (who, { sessions, names, scratch }) => {
        // Its own topic each time: what is missing is the right on the group.
        const topic = who === "team-a" || who === "team-ab" ? names[who].topic : scratch("group-topic");
        return kafkaAnswer(ask(sessions[who], who === "admin" ? scratch(`${owner}.group`) : names[owner].group, topic));
      },
    };
  }),
);

const nobody = (code: Answer) => ({ "team-a": code, "team-ab": code, stranger: code });
const anybody = nobody("yes");

const cluster = (
  verb: string,
  expect: KafkaRow["expect"],
  ask: (connection: Connection, context: KafkaContext, who: KafkaPrincipal) => Promise<unknown>,
): KafkaRow => ({
  ...{ object: "cluster", verb, expect },
  async ask(who, context) {
    for (let left = 20; ; left -= 1) {
      const answer = await kafkaAnswer(ask(context.sessions[who], context, who));
      // A broker that has had no producer yet has to ask for its numbers first.
      if (answer !== "COORDINATOR_LOAD_IN_PROGRESS" || left === 0) return answer;
      await sleep(100);
    }
  },
});

const look = (
  verb: string,
  expect: KafkaRow["expect"],
  see: (connection: Connection, context: KafkaContext) => Promise<readonly string[]>,
): KafkaRow => ({
  ...{ object: "cluster", verb, expect },
  async ask(who, context) {
    const { sessions, names } = context;
    const seen = await see(sessions[who], context);
    const has = TENANTS.filter((tenant) => seen.some((name) => Object.values(names[tenant]).includes(name)));
    return has.length === 0 ? "nothing" : has.length === 1 ? `${has[0]}'s` : "everybody's";
  },
});

// Numbers by org.apache.kafka.common.resource and .acl: ANY is 1; TOPIC 2, PREFIXED 4, READ 3, ALLOW 3.
const anyAcl = {
  resourceType: 1,
  resourceName: null,
  resourcePatternType: 1,
  principal: null,
  host: null,
  operation: 1,
  permissionType: 1,
} as const;
const aclFor = (name: string) => ({
  resourceType: 2 as const,
  resourceName: name,
  resourcePatternType: 4 as const,
  principal: "User:planted",
  host: "*",
  operation: 3 as const,
  permissionType: 3 as const,
});
const newTopic = (name: string) => [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }];
const brokerIds = { resourceType: BROKER, resourceName: "1" } as const;
const salted = { mechanism: 2, iterations: 4096, salt: Buffer.alloc(24, 1), saltedPassword: Buffer.alloc(64, 1) };
const userOf = (who: KafkaPrincipal, { names }: KafkaContext) =>
  who === "team-a" ? names["team-ab"].user : who === "team-ab" ? names["team-a"].user : "planted";

const clusterRows: readonly KafkaRow[] = [
  cluster("ask for the brokers' addresses", { ...anybody, admin: "yes" }, (c) =>
    describeClusterV1.api.async(c, false, 1),
  ),
  cluster("make a topic in its own prefix", { ...nobody(NO_TOPIC), admin: "yes" }, (c, { names }, who) =>
    createTopicsV7.api.async(c, newTopic(`${names[who === "team-ab" ? who : "team-a"].topic}.more`), 5_000, true),
  ),
  cluster("make a topic in the other's prefix", { ...nobody(NO_TOPIC), admin: "yes" }, (c, { names }, who) =>
    createTopicsV7.api.async(c, newTopic(`${names[who === "team-ab" ? "team-a" : "team-ab"].topic}.more`), 5_000, true),
  ),
  cluster("see a topic that is not there", { ...nobody(NO_TOPIC), admin: "UNKNOWN_TOPIC_OR_PARTITION" }, (c) =>
    metadataV10.api.async(c, ["not-there"], false, true, false),
  ),
  look(
    "list topics",
    { "team-a": "team-a's", "team-ab": "team-ab's", stranger: "nothing", admin: "everybody's" },
    async (c) => (await metadataV10.api.async(c, null, false, false, false)).topics.map(({ name }) => name ?? ""),
  ),
  look(
    "list groups",
    { "team-a": "team-a's", "team-ab": "team-ab's", stranger: "nothing", admin: "everybody's" },
    async (c) => (await listGroupsV4.api.async(c, [], [])).groups.map(({ groupId }) => groupId),
  ),
  cluster("read rights", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) => describeAclsV3.api.async(c, anyAcl)),
  cluster("give itself a right on the other's topic", { ...nobody(NO_CLUSTER), admin: "yes" }, (c, { names }, who) =>
    createAclsV3.api.async(c, [aclFor(names[who === "team-ab" ? "team-a" : "team-ab"].topic)]),
  ),
  cluster("take rights away", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) =>
    deleteAclsV3.api.async(c, [{ ...anyAcl, principal: "User:planted" }]),
  ),
  cluster("look at the other's user", { ...nobody(NO_CLUSTER), admin: "RESOURCE_NOT_FOUND" }, (c, context, who) =>
    describeUserScramCredentialsV0.api.async(c, [{ name: userOf(who, context) }]),
  ),
  cluster("set the other's password", { ...nobody(NO_CLUSTER), admin: "yes" }, (c, context, who) =>
    alterUserScramCredentialsV0.api.async(c, [], [{ name: userOf(who, context), ...salted }]),
  ),
  cluster("delete the other's user", { ...nobody(NO_CLUSTER), admin: "yes" }, (c, context, who) =>
    alterUserScramCredentialsV0.api.async(c, [{ name: userOf(who, context), mechanism: salted.mechanism }], []),
  ),
  cluster("read a broker's settings", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) =>
    describeConfigsV4.api.async(c, [brokerIds], false, false),
  ),
  cluster("change a broker's settings", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) => {
    const configs = [{ name: "log.cleaner.threads", configOperation: SET, value: "1" } as const];
    return incrementalAlterConfigsV1.api.async(c, [{ ...brokerIds, configs }], true);
  }),
  cluster("read quotas", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) =>
    describeClientQuotasV1.api.async(c, [], false),
  ),
  cluster("set the other's quota", { ...nobody(NO_CLUSTER), admin: "yes" }, (c, context, who) => {
    const entities = [{ entityType: "user", entityName: userOf(who, context) } as const];
    const ops = [{ key: "producer_byte_rate", value: 1, remove: false } as const];
    return alterClientQuotasV1.api.async(c, [{ entities, ops }], true);
  }),
  cluster("read sizes on disk", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) => describeLogDirsV4.api.async(c, null)),
  cluster("read the quorum", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) =>
    describeQuorumV2.api.async(c, [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }]),
  ),
  cluster("list moves of partitions", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) =>
    listPartitionReassignmentsV0.api.async(c, 5_000, null),
  ),
  cluster("move the other's partitions", { ...nobody(NO_CLUSTER), admin: "yes" }, (c, { names, scratch }, who) => {
    const name = who === "admin" ? scratch("group-topic") : names[who === "team-ab" ? "team-a" : "team-ab"].topic;
    const partitions = [{ partitionIndex: 0, replicas: [1] }];
    return alterPartitionReassignmentsV0.api.async(c, 5_000, true, [{ name, partitions }]);
  }),
  cluster("take a broker out", { ...nobody(NO_CLUSTER), admin: "BROKER_ID_NOT_REGISTERED" }, (c) =>
    unregisterBrokerV0.api.async(c, 999),
  ),
  cluster("change the cluster's features", { ...nobody(NO_CLUSTER), admin: "yes" }, (c) =>
    updateFeaturesV1.api.async(c, 5_000, [], true),
  ),
  cluster(
    "write with a transactional id",
    { ...nobody("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"), admin: "NOT_COORDINATOR" },
    (c, { scratch }) => initProducerIdV5.api.async(c, scratch("transaction"), 5_000, -1n, -1),
  ),
  cluster(
    "look at a transaction",
    { ...nobody("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"), admin: "NOT_COORDINATOR" },
    (c, { scratch }) => describeTransactionsV0.api.async(c, [scratch("transaction")]),
  ),
  cluster("write idempotently", { "team-a": "yes", "team-ab": "yes", stranger: NO_CLUSTER, admin: "yes" }, (c) =>
    initProducerIdV5.api.async(c, null, 5_000, -1n, -1),
  ),
  cluster(
    "make a delegation token for the other",
    { ...nobody("DELEGATION_TOKEN_AUTHORIZATION_FAILED"), admin: "yes" },
    (c, context, who) => createDelegationTokenV3.api.async(c, "User", userOf(who, context), [], 60_000n),
  ),
  cluster("make a delegation token for itself", { ...anybody, admin: "yes" }, (c) =>
    createDelegationTokenV3.api.async(c, null, null, [], 60_000n),
  ),
  look(
    "list delegation tokens",
    { "team-a": "team-a's", "team-ab": "team-ab's", stranger: "nothing", admin: "everybody's" },
    async (c, { sessions, names }) => {
      const owners = async (by: Connection) =>
        (await describeDelegationTokenV3.api.async(by, null)).tokens.map(({ principalName }) => principalName);
      // A broker knows of a token a little after the controller made it.
      for (let left = 50; left > 0; left -= 1) {
        const known = await owners(sessions.admin);
        if (TENANTS.every((tenant) => known.includes(names[tenant].user))) break;
        await sleep(100);
      }
      return owners(c);
    },
  ),
];

export const kafkaSections: readonly Section<KafkaPrincipal, KafkaContext>[] = [
  { title: "Kafka: topics", principals: KAFKA_PRINCIPALS, rows: topicRows },
  { title: "Kafka: consumer groups", principals: KAFKA_PRINCIPALS, rows: groupRows },
  { title: "Kafka: the cluster", principals: KAFKA_PRINCIPALS, rows: clusterRows },
];
