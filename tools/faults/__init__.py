"""What kills, full disks and other faults do to stores."""
