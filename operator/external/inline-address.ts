import { lookup as resolve } from "node:dns";
import { lookup as resolveAll } from "node:dns/promises";
import { BlockList, isIP, type LookupFunction, Socket } from "node:net";
import type { Inline } from "../config.ts";
import { WaitingError } from "../errors.ts";

/**
 * Where a connection of a tenant's own may lead. The operator stands where its tenants do not: on its own loopback, and
 * near the address from which a cloud hands a machine its credentials. A name is judged by what it stands for at the
 * moment it is dialled, also where a broker names another broker.
 */
const FORBIDDEN = [
  ...["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"],
  // Metadata that does not lie in the link-local range: Alibaba, Azure, AWS, Google.
  ...["100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128"],
  ...["::/128", "::1/128", "fe80::/10", "ff00::/8"],
  // Both lead to an IPv4 address that is written inside.
  ...["64:ff9b::/96", "2002::/16"],
];

function listOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = "", bits] = cidr.split("/");
    list.addSubnet(address, Number(bits), isIP(address) === 6 ? "ipv6" : "ipv4");
  }
  return list;
}

const forbidden = listOf(FORBIDDEN);

export function isForbidden(address: string, allowedCidrs: readonly string[]): boolean {
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  // An IPv4 address that is written as IPv6 (::ffff:127.0.0.1) is held against the IPv4 ranges by node itself.
  return forbidden.check(address, family) && !listOf(allowedCidrs).check(address, family);
}

type Guarded = Pick<Inline<unknown>, "allowedCidrs">;

/** No address in the message: what a name stands for inside is not a tenant's to find out. */
const refusal = (host: string) =>
  new WaitingError(
    "AddressNotAllowed",
    `connection: ${JSON.stringify(host)} leads to an address that inline connections may not reach (loopback, link-local, or a cloud's metadata); use another, or ask the platform team to add it to inlineAllowedCidrs`,
    { requeueAfterMs: 60_000 },
  );

/**
 * An address to dial for `host`, which is not looked up again.
 * @throws WaitingError AddressNotAllowed where any address of it is not allowed; the resolver's error
 */
export async function allowedAddress(host: string, { allowedCidrs }: Guarded): Promise<string> {
  const addresses = isIP(host) === 0 ? await resolveAll(host, { all: true }) : [{ address: host }];
  const [first] = addresses;
  if (first === undefined || addresses.some(({ address }) => isForbidden(address, allowedCidrs))) throw refusal(host);
  return first.address;
}

/** For node:net and node:tls, which do not ask it about what is an address already. */
export function guardedLookup({ allowedCidrs }: Guarded): LookupFunction {
  return (host, options, done) =>
    resolve(host, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || first === undefined) return done(error ?? refusal(host), "");
      if (addresses.some(({ address }) => isForbidden(address, allowedCidrs))) return done(refusal(host), "");
      return options.all === true ? done(null, addresses) : done(null, first.address, first.family);
    });
}

/** As node-postgres dials: a port and a host. */
export class GuardedSocket extends Socket {
  readonly #guard: Guarded;

  constructor(guard: Guarded) {
    super();
    this.#guard = guard;
  }

  override connect(...args: unknown[]): this {
    const [port, host] = args;
    if (typeof port !== "number" || typeof host !== "string") throw new TypeError("a port and a host are expected");
    if (isIP(host) !== 0 && isForbidden(host, this.#guard.allowedCidrs)) {
      queueMicrotask(() => this.destroy(refusal(host)));
      return this;
    }
    return super.connect({ port, host, lookup: guardedLookup(this.#guard) });
  }
}
