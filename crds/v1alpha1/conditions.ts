import { z } from "zod";

/** Every condition type, with its meaning. True is good, except where the text says otherwise. */
export const CONDITIONS = {
  Ready: "The resource does what its spec says; the summary of all others.",
  Reconciling: "Present and True while the operator still works towards the spec; absent when it has settled.",
  Stalled: "Present and True when retrying cannot help: only a change of the spec, or of who owns an object, does.",
  TopicsReady: "Topic and dead-letter topic exist as the spec says.",
  StoresReady: "Database, schema, tables, roles and partitions of every sink exist and passed the permission probe.",
  CredentialsReady: "Every Secret that sinks and readers use exists, and its login works.",
  WorkloadsReady: "Every sink runs the rendered configuration with all its replicas ready.",
  FlowHealthy:
    "Every sink stores what comes: its lag is known, and no topic partition with records to store stands still.",
  Suspended: "Present and True while the spec asks for no sinks to run, so that records wait in the topic.",
  DriftDetected:
    "Present and True while something differs by somebody's hand from what was applied and is left so, or a topic took the place of one that was deleted; the message lists each difference.",
  DeletionBlocked: "Present and True while a deletion waits for something; the message says for what.",
} as const;
export type ConditionType = keyof typeof CONDITIONS;

/** Every reason of a condition or an event, with its meaning. A reason is never renamed. */
export const REASONS = {
  Succeeded: "Everything is as the spec says.",
  Progressing: "The operator is working towards the spec, or waits for something that is on its way.",
  Failed: "A step failed for a reason without a name of its own; it is retried with growing delays.",
  Suspended:
    "The spec asks for no sinks to run (suspend, or no replicas), so nothing is consumed. Ready stays True, since all is as asked for; FlowHealthy is Unknown.",
  Suspending: "The sinks are being stopped, because the spec asks for none; the event tells where the gap begins.",
  Resumed: "The sinks are started again; the event tells how long the gap was.",
  DependencyNotReady: "Another resource this one refers to exists and is not Ready yet.",
  DependencyNotFound: "A resource this one refers to does not exist in its namespace.",

  InvalidSpec: "The spec breaks a rule of the API; the last good revision goes on running.",
  NameNotAllowed: "A name lies outside the back-end's namePrefix, or is reserved.",
  NamespaceNotAllowed: "The back-end's allowedNamespaces does not list the resource's namespace.",
  InlineConnectionDenied:
    "The resource brings a connection of its own, and the operator's configuration does not allow that (inlineConnections).",
  AddressNotAllowed:
    "A connection of the resource's own leads to an address that inline connections may not reach: loopback, link-local, or a cloud's metadata.",
  BackendNotFound: "The operator's configuration has no back-end of that name.",

  KafkaUnreachable: "No broker answered.",
  KafkaUnauthorized: "Kafka refused the operator's credential, or the credential lacks a right.",
  KafkaTlsFailed:
    "No TLS connection with the brokers came about: the message says whether it is the authority, an expired certificate, the host name, or the client's certificate.",
  TopicMissing:
    "A topic is not there. One of ours that somebody deleted lost all records it held: it is made again unless driftPolicy is Report, and condition DriftDetected tells of it; one that is only observed is waited for.",
  TopicConflict: "The topic exists and belongs to another owner, or an older resource claims its name.",
  TopicRecreated: "The topic has another id than before: somebody deleted it and made it again.",
  PartitionsCannotShrink: "The spec asks for fewer partitions than the topic has; the rest of the change is applied.",
  ReplicationFactorChange: "The spec asks for another replication factor than the topic has.",
  InvalidTopicConfig: "Kafka refused a topic setting or its value.",
  TooManyPartitions: "The spec asks for more partitions than the back-end's maxPartitions.",
  TopicDrift: "Somebody changed a topic by hand; the message lists what was found and what is wanted.",
  DriftCorrected: "Something that somebody changed by hand was put back; this event is what tells of it.",
  RecordTimeUntrusted:
    "The topic's records carry the producer's time (CreateTime), which is not relied on: recorded_at is the sink's clock.",

  PostgresTlsFailed:
    "No TLS connection with the PostgreSQL server came about: the message says whether it is the authority, an expired certificate, the host name, or a server without TLS.",
  PostgresUnreachable: "The PostgreSQL server did not answer.",
  PostgresUnauthorized: "PostgreSQL refused a login; the message says whose and why.",
  PermissionDenied: "The operator's PostgreSQL login lacks a privilege it needs; the message names it.",
  UnexpectedPrivilege:
    "A role was given something by hand that it must not have; the message says how to take it away.",
  SchemaDrift: "A table, column or index was changed by hand; the message says how to put it back.",
  DriftReported: "Something was changed by hand and is left so, because driftPolicy is Report.",
  ObjectBusy: "Somebody else works on the same object just now; it is looked at again soon.",
  DatabaseConflict: "The database exists and belongs to another owner.",
  SchemaConflict: "The schema, or a table in it, exists and belongs to another owner.",
  RoleConflict: "A role exists and belongs to another owner.",
  ProbeFailed: "A login could do what it must not, or could not do what it must.",
  RetentionUnconfirmed:
    "A shorter retention would drop several months at once, or one early: the annotation auditpipeline.io/confirm-retention is missing; the message lists the months.",
  ChainBroken:
    "A month that retention should drop is kept, because its hash chain does not hold; the message says where.",
  MonthDropped: "Retention dropped a month of events; the note says which, and how many events it held.",
  PartitionMissing: "A monthly partition that records need does not exist yet.",

  SecretMissing: "A Secret, or a file of the operator's configuration, is missing or lacks a key.",
  PrincipalConflict: "A user of that name exists in Kafka and nothing says that it is this pipeline's.",
  PrincipalUnsupported: "The pipeline asks for a user of its own, and the Kafka back-end has no SASL SCRAM.",
  KafkaCredentialMissing:
    "The brokers want a login and the sinks have none: the pipeline asks for no principal, and the back-end has no clientSecretFile.",
  SecretReplaced: "A Secret was missing or spoilt: its login has a new password, and the one before is refused.",
  CredentialsRotated: "A login was replaced; the one before stays good for its overlap.",
  SecretConflict: "The Secret exists and belongs to another owner.",
  WorkloadConflict: "An object of a sink's name exists in the namespace and was not made for that sink.",
  PodsNotReady: "Not all replicas of a sink are ready.",
  CrashLooping: "A pod of a sink keeps ending; the message has its name and exit code, its log says why.",
  GroupNotEmpty: "The consumer group still has members, so it cannot be deleted yet.",
  LagUnknown: "The consumer group's lag could not be read.",
  LagHigh: "Records wait and a sink stores none of them; the message names the topic's partition and the offset.",

  InUse: "Deletion waits: a pipeline still uses the topic.",
  BackendUnreachable: "Deletion waits: a back-end that holds something to delete does not answer.",
  ConfirmationMissing:
    "Audit data is kept although the policy says Delete: the annotation auditpipeline.io/confirm-delete is missing.",
  NotDrained: "Events that Kafka acknowledged are not stored yet; the topic is kept whatever its policy.",

  Adopted: "An object that existed before was taken over: its marker names this resource, or adoptionPolicy allows it.",
  Deleted: "An object was deleted.",
  Orphaned:
    "An object stays behind against its policy, because its back-end did not answer, or refused; the receipt lists it.",
  Retained: "An object stays behind, as its policy says; the receipt lists it.",
} as const;
export type Reason = keyof typeof REASONS;

const types = Object.keys(CONDITIONS) as [ConditionType, ...ConditionType[]];

/** metav1.Condition. */
export const condition = z
  .strictObject({
    type: z.enum(types).describe("What the condition is about."),
    status: z.enum(["True", "False", "Unknown"]).describe("Whether the condition holds."),
    observedGeneration: z.int().min(0).optional().describe("The metadata.generation the condition was found for."),
    lastTransitionTime: z
      .string()
      .min(1)
      .max(64)
      .meta({ format: "date-time" })
      .describe("When status last changed, RFC 3339. Moves only with status."),
    reason: z
      .string()
      .min(1)
      .max(1024)
      .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/, "one CamelCase word")
      .describe("Why, as one CamelCase word; docs/conditions.md lists all."),
    message: z.string().max(32_768).describe("Why, for people: what was found, what is allowed, and the fix."),
  })
  .describe("One condition of the resource.");

export interface Condition extends z.infer<typeof condition> {}

export const conditions = z
  .array(condition)
  .max(16)
  .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
  .optional()
  .describe("What the operator found out, one entry per aspect.");
