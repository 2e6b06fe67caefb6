#!/bin/bash
# Becomes the first process of a private machine. Call it as root, as the first command in new namespaces of every kind:
#
#   boot.sh WORK
#
# It lays out a root file system on top of the host's, in memory, and becomes systemd there. Of the folder WORK it uses
#   files/        what to put over the host's files
#   venv/         an environment that the machine sees as /opt/phinops and cannot change
#   overlay/      an empty folder to work in
#   console.log   a file that takes what is written on the console
# Only loopback is up, no service of the host is started, and with the last process everything is gone.
set -euo pipefail

readonly work=$1
readonly layers=$work/overlay
readonly root=$layers/root

# fs TYPE PLACE OPTIONS: a file system of the machine's own, at a place below its root.
fs() {
    mkdir -p "$root$2"
    mount -t "$1" -o "nosuid,$3" "$1" "$root$2"
}

# lend SOURCE PLACE: a file or folder of the host's, seen in the machine.
lend() {
    if [[ -d $1 ]]; then mkdir -p "$root$2"; else : >>"$root$2"; fi
    mount --bind "$1" "$root$2"
}

lay_out_root() {
    mount -t tmpfs memory "$layers"
    mkdir "$layers"/{changes,scratch,root}
    mount -t overlay -o "upperdir=$layers/changes,workdir=$layers/scratch,lowerdir=/" machine "$root"
    fs sysfs /sys ro,nodev,noexec
    fs cgroup2 /sys/fs/cgroup nodev,noexec
    fs proc /proc nodev,noexec
    fs tmpfs /run nodev,mode=0755
    fs tmpfs /tmp mode=1777
}

lay_out_devices() {
    local name
    fs tmpfs /dev mode=0755
    for name in full null random tty urandom zero; do
        lend "/dev/$name" "/dev/$name"
    done
    lend "$work/console.log" /dev/console
    fs tmpfs /dev/shm mode=1777
    fs devpts /dev/pts noexec,mode=620,ptmxmode=0666,newinstance
    mkdir "$root/dev/mqueue"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for name in stdin:0 stdout:1 stderr:2; do
        ln -s "fd/${name#*:}" "$root/dev/${name%:*}"
    done
}

# What the host has switched on or kept is not the machine's, nor are units that want hardware or a network.
forget_the_host() {
    local etc=$root/etc unit
    rm -rf "$etc"/systemd/system/*.wants "$etc/phinops" "$root/var/lib/phinops" "$root/var/log/journal"
    rm -f "$etc/fstab"
    for unit in console-getty.service getty.target \
        systemd-{firstboot,logind,modules-load,networkd,remount-fs}.service systemd-networkd.socket \
        systemd-{resolved,sysctl,timesyncd,udevd,update-utmp}.service systemd-udevd-{control,kernel}.socket; do
        ln -sf /dev/null "$etc/systemd/system/$unit"
    done
    rm -f "$etc/machine-id"
    systemd-id128 new >"$etc/machine-id"
}

bring_along() {
    lend "$work/venv" /opt/phinops
    mount -o remount,bind,ro "$root/opt/phinops"
    cp -a "$work/files/." "$root/"
}

# The new root lies over the old one, which is then taken away from below it. In a container systemd does not make
# mounts shared by itself, and then a unit with LoadCredential= finds its folder empty.
enter() {
    cd "$root"
    pivot_root . .
    umount -l .
    cd /
    mount --make-rshared /
}

hostname phinops-test
ip link set dev lo up
lay_out_root
lay_out_devices
forget_the_host
bring_along
enter
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LANG=C.UTF-8 container=phinops \
    /lib/systemd/systemd --unit=multi-user.target --show-status=no --log-target=journal
