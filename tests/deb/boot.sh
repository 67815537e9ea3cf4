# Runs as the first process of namespaces of its own (not of the network): turns the trixie tree $1 into the root, with the packages of
# $2 in /run/debs, and becomes systemd there.
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty net/tun; do
  mkdir -p "$(dirname "$root/dev/$device")"
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/debs" "$root/run/before"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount --bind "$2" "$root/run/debs"
cd "$root"
pivot_root . run/before
umount -l /run/before
export container=skerry
exec /lib/systemd/systemd --unit=multi-user.target
