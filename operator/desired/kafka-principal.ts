/** One right of a user, in Kafka's own words (org.apache.kafka.common.acl): TOPIC, LITERAL, READ, ALLOW. */
export interface KafkaAcl {
  readonly resource: string;
  readonly name: string;
  readonly pattern: string;
  readonly operation: string;
  readonly permission: string;
  readonly host: string;
}
