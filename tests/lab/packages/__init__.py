"""Stand-in packages under the vendors' names, described as data and built with dpkg-deb."""
