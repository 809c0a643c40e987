/** A resource, and the topics it claims: those it makes, adopts, or has. */
export interface Claimant {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** RFC 3339, as the API server writes it: whole seconds, UTC. */
  readonly creationTimestamp: string;
  /** Addresses of the cluster's brokers: two back-ends that share one are the same cluster. */
  readonly servers: readonly string[];
  readonly topics: readonly string[];
}

type Born = Pick<Claimant, "uid" | "creationTimestamp">;

/** Kafka takes `a.b` and `a_b` for a collision, since metric names turn one into the other (Topic.hasCollision). */
const collisionForm = (name: string) => name.replaceAll(".", "_");

const collide = (one: string, other: string) => collisionForm(one) === collisionForm(other);

/** The claimant of `topic` that comes before `mine`: the oldest, and of two as old the one with the smaller uid. */
export function olderClaimant(topic: string, mine: Claimant, others: readonly Claimant[]): Claimant | undefined {
  return others
    .filter((other) => sameCluster(other, mine) && other.topics.some((name) => collide(name, topic)))
    .filter((other) => other.uid !== mine.uid && isOlder(other, mine))
    .sort((a, b) => (isOlder(a, b) ? -1 : 1))[0];
}

const sameCluster = (one: Claimant, other: Claimant) => one.servers.some((server) => other.servers.includes(server));

/** Of two as old the one with the smaller uid. */
export function isOlder(one: Born, other: Born): boolean {
  const [a, b] = [Date.parse(one.creationTimestamp), Date.parse(other.creationTimestamp)];
  return a === b ? one.uid < other.uid : a < b;
}
