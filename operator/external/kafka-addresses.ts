import { type Admin, type Broker, type Connection, NetworkError } from "@platformatic/kafka";
import { allowedAddress } from "./inline-address.ts";
import type { KafkaServer } from "./kafka-link.ts";

type Guard = NonNullable<KafkaServer["inline"]>;
type Done = (error: Error | null, connection: Connection) => void;

/**
 * Judges every address that a client dials, the ones that brokers name included. Over TLS the name is needed for the
 * certificate, so it is looked up again by the link's own guarded lookup; without, the address that was judged is dialled.
 */
export function guardAddresses({ connections }: Admin, guard: Guard, isTls: boolean): void {
  const get = connections.get.bind(connections) as (broker: Broker, done: Done) => void;
  const guarded = async (broker: Broker, done: Done) => {
    const { host, cause } = await dialled(broker.host, guard, isTls).then(
      (allowed) => ({ host: allowed, cause: undefined }),
      (error: Error) => ({ host: undefined, cause: error }),
    );
    if (host !== undefined) return get({ ...broker, host }, done);
    // The client asks its errors for their kind.
    done(new NetworkError("The address is not allowed", { cause, canRetry: false }), undefined as never);
  };
  Object.assign(connections, { get: guarded });
}

/** @throws WaitingError AddressNotAllowed */
export async function dialled(host: string, guard: Guard, isTls: boolean): Promise<string> {
  const address = await allowedAddress(host, guard);
  return isTls ? host : address;
}
