#!/bin/bash
# Boots the machine's own systemd as PID 1 of private namespaces (pid, mount, cgroup, net, ipc, uts), over a throw-away
# overlay of /. Runs inside `unshare`, as root: boot.sh WORK, where WORK holds
#   files/        laid over /
#   venv/         seen as /opt/phinops, read-only
#   console.log   what systemd says on its console
# Nothing of the host's services starts, the only network is loopback, and nothing is left behind.
set -eu
work=$1
root=$work/overlay/root

hostname phinops-test
ip link set lo up

mount -t tmpfs -o mode=0755 overlay "$work/overlay"
mkdir "$work/overlay/upper" "$work/overlay/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/overlay/upper,workdir=$work/overlay/work" "$root"
mount --make-private "$root"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"

mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
touch "$root/dev/console"
mount --bind "$work/console.log" "$root/dev/console"

mkdir -p "$root/opt/phinops"
mount --bind "$work/venv" "$root/opt/phinops"
mount -o remount,bind,ro "$root/opt/phinops"

# Nothing of the host starts, and the machine has a name of its own in the journal.
rm -rf "$root/etc/systemd/system/"*.wants "$root/var/log/journal" "$root/etc/phinops" "$root/var/lib/phinops"
: >"$root/etc/fstab"
rm -f "$root/etc/machine-id"
head -c16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$root/etc/machine-id"
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-networkd.service \
    systemd-networkd.socket systemd-resolved.service systemd-timesyncd.service systemd-logind.service getty.target \
    console-getty.service systemd-remount-fs.service systemd-sysctl.service systemd-modules-load.service \
    systemd-firstboot.service systemd-update-utmp.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
cp -a "$work/files/." "$root/"

mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

mkdir "$root/.old"
cd "$root"
pivot_root . .old
umount -l /.old
mount --make-rshared / # systemd leaves propagation alone in a container; without it LoadCredential= hands nothing over
exec env -i container=phinops PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no
