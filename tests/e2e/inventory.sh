# Everything that a deploy could leave on a host, a line each: files outside what changes by itself, packages, units, holds,
# users and groups.
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log \
    -o -path /var/lib/apt -o -path /var/cache \) -prune -o -printf 'file %p\n' 2>/dev/null
dpkg-query -W -f 'package ${Package}\n'
systemctl list-unit-files --no-legend --no-pager | awk '{print "unit", $1, $2}'
apt-mark showhold | sed 's/^/hold /'
sed 's/^\([^:]*\):.*/user \1/' /etc/passwd
sed 's/^\([^:]*\):.*/group \1/' /etc/group
