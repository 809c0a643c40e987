#!/bin/sh
# The first process of a cluster's own namespaces (network, processes, mounts). When it ends, the kernel ends all that runs
# in them and undoes every mount and interface: nothing has to be found and stopped.
#   init.sh DIR COMMAND [ARGUMENT ...]
set -eu
dir=$1
shift

# Mounts made from here on are seen by what runs here and by nobody else; containers see those of the kubelet.
mount --make-rshared /
# Nothing of what containerd, the kubelet and the CNI plugins leave in these folders is left to the machine.
mkdir -p "$dir/lib" "$dir/lib-work" "$dir/log"
mount -t overlay -o "lowerdir=/var/lib,upperdir=$dir/lib,workdir=$dir/lib-work" cluster-lib /var/lib
mount --bind "$dir/log" /var/log
mount -t tmpfs -o mode=755 cluster-run /run
mkdir -p /run/lock
mount -t tmpfs -o mode=1777 cluster-tmp /var/tmp

# A bridge, since not every kernel has interfaces of type dummy. The default route leads nowhere: the API server and the
# kubelet look for one to find the node's address.
ip link set lo up
ip link add node0 type bridge
ip address add 10.88.0.1/24 dev node0
ip link set node0 up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward

# A shell stays the first process: it also takes leave of processes that lost their parent.
child=
trap 'told=yes; kill -TERM "$child" 2>/dev/null' TERM
"$@" &
child=$!
# A signal ends the wait, not the command: wait again for how that ends.
told=yes
while [ -n "$told" ]; do
  told=
  code=0
  wait "$child" || code=$?
done
exit "$code"
