"""Role based access control: rules, who has them, and that nobody gives away what he has not."""
