/** What a sink has to reach its brokers with, beside their addresses. */
export interface KafkaAccess {
  /** PEM; the sink finds it at `kafkaFiles().caFile`. */
  readonly ca?: string;
  /** In the pipeline's namespace. Absent: the brokers ask for no login. */
  readonly secret?: {
    readonly name: string;
    /** Moves when the login does, and tells nothing of it. */
    readonly fingerprint: string;
    /** It has `username` and `password`. */
    readonly user: boolean;
    /** It has `tls.crt` and `tls.key`. */
    readonly certificate: boolean;
  };
}

/** Health, readiness and metrics of a sink. */
export const ADMIN_PORT = 8080;
/** Where the ConfigMap is mounted. */
export const CONFIG_DIR = "/etc/audit-sink";
/** Where the store's authority lies in the pod, for the sink's `caFile`. */
export const CA_FILE = `${CONFIG_DIR}/ca.crt`;
export const KAFKA_DIR = "/etc/audit-sink-kafka";
/** Key of the ConfigMap. */
export const KAFKA_CA = "kafka-ca.crt";

/** Where in the pod the sink finds what its connection to Kafka needs. */
export const kafkaFiles = ({ ca, secret }: KafkaAccess) => ({
  ...(ca === undefined ? {} : { caFile: `${CONFIG_DIR}/${KAFKA_CA}` }),
  ...(secret?.certificate === true ? { certFile: `${KAFKA_DIR}/tls.crt`, keyFile: `${KAFKA_DIR}/tls.key` } : {}),
});
